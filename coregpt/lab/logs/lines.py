"""One line of metrics, in any of the formats that public speedrun logs use.

`step:1750/3250 val_loss:3.45678 train_time:123.456s step_avg:95.12ms` (also with milliseconds), and
`s:250 tel:6.5023`, where `tel` is the validation loss and `trl` the training loss. Other programs' lines: `formats`.
"""

import re
from dataclasses import dataclass

from coregpt.lab.logs.formats import json_line, nanogpt

_START = re.compile(r"(?:step:(\d+)(?:/(\d+))?|s:(\d+))(\s+[A-Za-z_]\w*:\S+.*)")
_PAIR = re.compile(r"([A-Za-z_]\w*):(\S+)")
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))(ms|s)?", re.IGNORECASE)
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
    found = _START.fullmatch(line)
    if found is None:
        other = nanogpt(line.rstrip()) or json_line(line.rstrip())
        return Reading(other[0], None, other[1], other[2]) if other else None
    step, planned, old_step, rest = found.groups()
    values: dict[str, float] = {}
    seconds = None
    for name, text in _PAIR.findall(rest):
        number = _NUMBER.fullmatch(text)
        if number is None:  # `val_loss:{val_loss:.4f}` is code, `at:12:03` says nothing about the run
            if "{" not in text and ("loss" in name or name in _OLD_NAMES):
                raise ValueError(f"{name}: {text!r}")
            continue
        value, unit = float(number[1]), number[2]
        if name == _TIME:
            seconds = value / 1000 if unit == "ms" else value
        elif unit is None:
            values[_OLD_NAMES.get(name, name)] = value
    if not values and seconds is None:
        return None
    return Reading(int(step or old_step), int(planned) if planned else None, values, seconds)
