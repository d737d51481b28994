"""One line of metrics, in any of the formats that public speedrun logs use.

`step:1750/3250 val_loss:3.45678 train_time:123.456s step_avg:95.12ms` (also with milliseconds), and
`s:250 tel:6.5023`, where `tel` is the validation loss and `trl` the training loss. Other programs' lines: `formats`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from coregpt.lab.logs.formats import json_line, nanogpt, number

NEWEST = 5
"""Of the lines before a torn one, so many tell how a number is written; source code further up may quote others."""
_START = re.compile(r"(?:step:(\d+)(?:/(\d+))?|s:(\d+))(\s+[A-Za-z_]\w*:\S+.*)")
_PAIR = re.compile(r"([A-Za-z_]\w*):(\S+)")
_BEGUN = re.compile(r"(?:step:\d+(?:/\d+)?|s:\d+)\s+(?:.*\s)?(\w*loss|tel|trl):(?:\s+(.*))?")
"""A metric line with no number where one is due, and perhaps something else behind a space."""
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))(ms|s)?", re.IGNORECASE)
_LAST = re.compile(r"((?:[A-Za-z_]\w*|(?:train|val) loss)(?::\s*|\s))-?\d+(?:\.(\d*))?")
"""A name and its number, with the digits behind the point."""
_OLD_NAMES = {"tel": "val_loss", "trl": "train_loss"}
_TIME = "train_time"


@dataclass(frozen=True)
class Reading:
    """What one line says: `planned` is the last step of the schedule, `values` may hold NaN or infinity."""

    step: int
    planned: int | None
    values: dict[str, float]
    seconds: float | None = None


def read_line(line: str) -> Reading | None:
    """The readings of a metric line; None for any other line, however similar (code, comments, indented text).

    Raises ValueError, with what cannot be read, for a metric line with something else in place of a loss.
    """
    if (begun := _BEGUN.fullmatch(line)) and not _is_code(begun[2] or ""):
        raise ValueError(f"{begun[1]}: {(begun[2] or '').rstrip()!r}")
    found = _START.fullmatch(line)
    if found is None:
        other = nanogpt(line.rstrip()) or json_line(line.rstrip())
        return Reading(other[0], None, other[1], other[2]) if other else None
    step, planned, old_step, rest = found.groups()
    values: dict[str, float] = {}
    seconds = None
    for name, text in _PAIR.findall(rest):
        plain = _NUMBER.fullmatch(text)
        if plain is None:  # `at:12:03` says nothing about the run
            if ("loss" in name or name in _OLD_NAMES) and not _is_code(text):
                values[_OLD_NAMES.get(name, name)] = _spelled(name, text)
            continue
        value, unit = float(plain[1]), plain[2]
        if unit is not None and ("loss" in name or name in _OLD_NAMES):
            raise ValueError(f"{name}: {text!r}")
        if name == _TIME:
            seconds = value / 1000 if unit == "ms" else value
        elif unit is None:
            values[_OLD_NAMES.get(name, name)] = value
    if not values and seconds is None:
        return None
    return Reading(int(step or old_step), int(planned) if planned else None, values, seconds)


def without_torn_end(lines: Sequence[str]) -> Sequence[str]:
    """Lines of a text, without a last one that ends inside of a loss: read as it stands it would be a smaller one.

    It has fewer digits behind the point than the newest others by that name, and no line break behind them.
    """
    last = next((found for found in _LAST.finditer(lines[-1]) if found.end() == len(lines[-1])), None)
    if last is None or not ("loss" in last[1] or last[1].rstrip(": ") in _OLD_NAMES):
        return lines
    before = (found for line in reversed(lines[:-1]) for found in _LAST.finditer(line) if found[1] == last[1])
    others = [len(found[2] or "") for found in islice(before, NEWEST)]
    return lines[:-1] if others and len(last[2] or "") < min(others) else lines


def _spelled(name: str, text: str) -> float:
    value = number(text)
    if value is None:
        raise ValueError(f"{name}: {text!r}")
    return value


def _is_code(text: str) -> bool:
    """`val_loss:{val_loss:.4f}` and `val_loss:%f` say how to print a loss."""
    return "{" in text or "%" in text
