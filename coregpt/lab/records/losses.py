"""The losses of a run, and whose they are: what chooses reads `select`, what judges reads `held_out`.

The lab reads a loss of a run nowhere else. A verdict is worth its level only if nothing was chosen by what it is
judged on, so every reader names its stream, and a test keeps the list of those that name `held_out`.
"""

import math
from collections.abc import Mapping
from typing import Any

from coregpt.engine.training.outcome import HELD_OUT, SELECT
from coregpt.lab.records.store import Row, RunFolder
from coregpt.lab.study.declaration import Stream

METRIC: Mapping[Stream, str] = {"select": SELECT, "held_out": HELD_OUT}
"""What rows of a log call the loss on a stream."""
RESULT: Mapping[Stream, str] = {"held_out": "value", "select": "select"}
"""What a result calls the final loss on a stream."""


def final(folder: RunFolder, stream: Stream) -> float | None:
    """Final loss of a run, infinite if it diverged; None while it has no result."""
    result = folder.result()
    if result is None:
        return None
    return float(result[RESULT[stream]]) if result["status"] == "finished" else math.inf


def along(rows: list[Row], stream: Stream) -> list[Row]:
    """The rows of a log that have the loss on a stream: evaluations."""
    return [row for row in rows if METRIC[stream] in row]


def at_step(folder: RunFolder, step: int, stream: Stream) -> float | None:
    """Loss at an evaluated step, infinite if the run diverged before it; None while it is not there yet."""
    there = [float(row[METRIC[stream]]) for row in along(folder.rows(), stream) if row["step"] == step]
    if there and math.isfinite(there[-1]):
        return there[-1]
    result = folder.result()
    return math.inf if result is not None and result["status"] == "diverged" else None


def outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the ledger records of a result: with both losses, so that neither can be edited unseen."""
    return {"status": result["status"], **{name: result[name] for name in RESULT.values()}}
