"""Lines of a program -> steps and values, by a pattern or by the formats that `coregpt import` reads."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from coregpt.lab.command.file import MetricFile
from coregpt.lab.logs.formats import STEPS, csv_as_lines, json_line, mapping, nanogpt, number
from coregpt.lab.logs.lines import read_line

FACTS = ("params", "parameters", "flops", "tokens")
"""What a program may say of itself beside its metrics, in JSON lines."""
VALUE = r"(?P<{}>[^\s,;|]+?)"
ENDS = r"(?=[\s,;|)\]]|$)"


@dataclass(frozen=True)
class Found:
    """What one line says. Values may be NaN or infinite."""

    step: int | None
    values: dict[str, float]


Reader = Callable[[str], Found | None]
"""Raises ValueError for a line with something else in place of a number."""


def reader(metric: MetricFile, *, reported: bool = False) -> Reader:
    """How lines are read; `reported`: those of $COREGPT_METRICS."""
    if metric.pattern is not None and not reported:
        return _Pattern(metric.pattern)
    if metric.format == "csv" and not reported:
        return _Csv()
    if metric.format in (None, "jsonl") or reported:
        return _json
    return _known if metric.format == "modded-nanogpt" else _nanogpt


@dataclass
class _Pattern:
    """A line that a person described; spaces in it stand for any number of them."""

    text: str
    regex: re.Pattern[str] = field(init=False)
    literal: str = field(init=False)
    """The longest words that every such line has, looked for first."""

    def __post_init__(self) -> None:
        parts = re.split(r"\{([A-Za-z_]\w*)\}", self.text)
        made = ""
        for place, part in enumerate(parts):
            if place % 2:
                made += VALUE.format(part)
            else:
                made += r"\s+".join(re.escape(word) for word in re.split(r"\s+", part))
        self.regex = re.compile(made + (ENDS if parts[-1] == "" else ""))
        self.literal = max((word for part in parts[::2] for word in part.split()), key=len, default="")

    def __call__(self, line: str) -> Found | None:
        if self.literal not in line or (match := self.regex.search(line)) is None:
            return None
        values = {}
        step: int | None = None
        for name, text in match.groupdict().items():
            value = number(text.replace("_", "").rstrip("%")) if "," not in text else None
            if value is None:
                raise ValueError(f"{name}: {text!r}")
            if name == "step" or (name in STEPS and "step" not in self.regex.groupindex):
                step = int(value) if value == value and abs(value) < 1e18 else None
            else:
                values[name] = value
        return Found(step, values)


@dataclass
class _Csv:
    """Rows below a header, as they come."""

    header: str = ""

    def __call__(self, line: str) -> Found | None:
        if not self.header:
            names = [name.strip().lower() for name in line.split(",")]
            if len(names) > 1 and any(name in STEPS for name in names):
                self.header = line
            return None
        if line.count(",") != self.header.count(","):
            return None
        made = csv_as_lines(f"{self.header}\n{line}\n", "csv")
        return _json(made[1]) if len(made) > 1 else None


def _json(line: str) -> Found | None:
    if not line.startswith("{"):
        return None
    found = json_line(line)
    if found is not None:
        return Found(found[0], found[1])
    try:
        data = json.loads(line)
    except ValueError:
        return None
    if not isinstance(data, dict) or any(name in data for name in STEPS):
        return None
    plain = mapping({**data, "step": 0})  # a line without a step has the next one
    return Found(None, plain[1]) if plain else None


def _nanogpt(line: str) -> Found | None:
    found = nanogpt(line.rstrip())
    return Found(found[0], found[1]) if found else None


def _known(line: str) -> Found | None:
    """What `coregpt import` reads of a line."""
    found = read_line(line)
    return Found(found.step, found.values) if found else None


def nearest_line(metric: MetricFile, lines: list[str]) -> str:
    """The printed line that most looks like what was asked for; "" where nothing does."""
    wanted = set(re.findall(r"[A-Za-z]{2,}", (metric.pattern or "val loss").replace("_", " ")))
    scored = [(sum(word in line for word in wanted), place) for place, line in enumerate(lines)]
    best = max(scored, default=(0, 0))
    return lines[best[1]].strip() if best[0] else ""
