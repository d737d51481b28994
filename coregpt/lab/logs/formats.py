"""Lines of metrics as other programs write them: nanoGPT's, one JSON object each, rows of a CSV file."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from coregpt.contract.errors import ConfigError

STEPS = ("step", "_step", "global_step", "iter", "iteration", "steps")
"""What a step is called; the first that is there counts."""
NAMES = {
    **dict.fromkeys(("val/loss", "eval_loss", "eval/loss", "valid_loss", "validation_loss", "val loss"), "val_loss"),
    **dict.fromkeys(("train/loss", "training_loss", "loss", "train loss"), "train_loss"),
}
"""Ours for theirs; any other name stays."""
SECONDS = {"seconds": 1.0, "train_seconds": 1.0, "train_time": 1.0, "train_time_ms": 0.001, "_runtime": 1.0}
"""What tells how long a run has trained, and how many seconds one of it is."""

_EVALUATED = re.compile(r"step (\d+): train loss (\S+?), val loss (\S+?)(?:,\s.*)?\s*")
_TRAINED = re.compile(r"iter (\d+): loss (\S+?), time \S+ms(?:,\s.*)?\s*")
_LABEL = re.compile(r"\s*(\d+): ?(.*)", re.S)
_METRICS_FOLLOW = re.compile(r"(?:step[: ]\d|s:\d|iter \d|\{\")")

_TENSOR = re.compile(r"tensor\((.*?)(?:,.*)?\)?")
_BARE = re.compile(
    r'(?<=":)\s*([-+]?(?:nan(?:\(\w*\))?|inf(?:inity)?|\d\.#\w+)|tensor\([^)]*\))(?=\s*[,}])', re.IGNORECASE
)
"""What is no number of JSON, where a value is due: a run that was lost must not vanish with its line."""
_LOST = re.compile(r"[-+]?(?:\d\.#(?:qnan|snan|ind|inf)\w*|[qs]?nan(?:\(\w*\))?)", re.IGNORECASE)
"""`-nan(ind)` and `1.#QNAN` of C libraries on Windows, `-nan` and `nan(snan)` of others; infinity is lost as well."""

Found = tuple[int, dict[str, float], float | None]
"""A step, its values by our names, and seconds of training."""


def number(text: Any) -> float | None:
    """NaN and infinity are numbers, however a program spells them: a run that was lost says so."""
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        return None
    if isinstance(text, str) and (found := _TENSOR.fullmatch(text)):
        text = found[1]
    if isinstance(text, str) and _LOST.fullmatch(text):
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None


def nanogpt(line: str) -> Found | None:
    """`step 250: train loss 3.9021, val loss 4.0123`, and `iter 250: loss 3.9, time 234.00ms, mfu 12.00%`.

    Raises ValueError, with what cannot be read, for such a line with something else in place of a number.
    """
    evaluated = _EVALUATED.fullmatch(line)
    found = evaluated or _TRAINED.fullmatch(line)
    if found is None:
        return None
    step, *texts = found.groups()
    names = ("train_loss", "val_loss") if evaluated else ("train_loss",)
    return int(step), {name: _read(name, text) for name, text in zip(names, texts, strict=True)}, None


def json_line(line: str) -> Found | None:
    """An object with a step and numbers; any other object is none. Raises ValueError for a metric that is no number."""
    if not line.startswith("{"):
        return None
    for text in (line, _BARE.sub(r' "\1"', line)):
        try:
            data = json.loads(text)
        except ValueError:
            continue
        return mapping(data) if isinstance(data, dict) else None
    return None


def mapping(data: Mapping[str, Any]) -> Found | None:
    """Metrics by name. Raises ValueError for a loss that is no number."""
    step = next((number(data[name]) for name in STEPS if name in data), None)
    if step is None or not math.isfinite(step) or step < 0 or step != int(step):
        return None
    values: dict[str, float] = {}
    seconds, empty = None, False
    for name, said in data.items():
        if name in STEPS:
            continue
        if said is None or said == "":  # not measured here, or lost: the step is on record either way
            empty |= "loss" in name
            continue
        value = number(said)
        if name in SECONDS and value is not None:
            seconds = value * SECONDS[name]
        elif value is not None:
            values[NAMES.get(name, name)] = value
        elif "loss" in name:
            raise ValueError(f"{name}: {said!r}")
    return (int(step), values, seconds) if values or seconds is not None or empty else None


def csv_as_lines(text: str, file: str) -> list[str]:
    """Each row as a line of JSON. Raises ConfigError for a table without a column of steps."""
    rows = csv.DictReader(io.StringIO(text))
    names = [name.strip() for name in rows.fieldnames or ()]
    lowered = {name.lower(): name for name in names}
    if not any(step in lowered for step in STEPS):
        raise ConfigError(f"{file}:1: expected a column {', '.join(STEPS[:3])} or {STEPS[3]}, got {', '.join(names)}")
    lines = [""]  # the header's place, so that lines have their numbers
    for row in rows:
        cells = {str(name).strip(): str(cell or "").strip() for name, cell in row.items() if name}
        plain = {name.lower() if name.lower() in STEPS else name: cell for name, cell in cells.items()}
        plain = {name: cell for name, cell in plain.items() if cell or name not in STEPS}
        lines.append(json.dumps(plain))
    return lines


def of_first_rank(lines: Iterable[str]) -> Iterator[str]:
    """What rank 0 printed, where `srun --label` has put `0: ` before every line; anything else as it is.

    Lines of other ranks become empty, so that lines keep their numbers.
    """
    found = list(lines)
    labelled = any((match := _LABEL.fullmatch(line)) and _METRICS_FOLLOW.match(match[2]) for line in found)
    for line in found:
        match = _LABEL.fullmatch(line) if labelled else None
        yield line if match is None else match[2] if int(match[1]) == 0 else ""


def _read(name: str, text: str) -> float:
    value = number(text)
    if value is None:
        raise ValueError(f"{name}: {text!r}")
    return value
