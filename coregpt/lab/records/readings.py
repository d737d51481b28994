"""Which readings a run's log lacks: the study that had it trained may have looked at it more seldom."""

from collections.abc import Sequence
from typing import get_args

from coregpt.lab.records.losses import along
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Stream
from coregpt.lab.study.readings import Reading, Readings


def lacking(folder: RunFolder, needs: Readings) -> list[Reading]:
    """Readings that the run has passed without them, in order; it must start over to have them."""
    rows = folder.rows() if needs else []
    if not rows:
        return []
    there = {(stream, row["step"]) for stream in get_args(Stream) for row in along(rows, stream)}
    reached = _reached(folder, max(int(row["step"]) for row in rows))
    return sorted((each for each in needs if each[1] <= reached and each not in there), key=lambda each: each[1])


def unread(lacks: Sequence[Reading], most: int = 4) -> str:
    """`on held_out after steps 40, 80 and 3 more`: readings of one stream, in words."""
    steps, more = [str(step) for _, step in lacks[:most]], len(lacks) - most
    after = ("steps " if len(lacks) > 1 else "step ") + ", ".join(steps) + (f" and {more} more" if more > 0 else "")
    return f"on {' and '.join(dict.fromkeys(stream for stream, _ in lacks))} after {after}"


def _reached(folder: RunFolder, last: int) -> int:
    """The last step at which the run would have been evaluated, had it been asked to; `last` is that of its log."""
    result = folder.result()
    if result is None:
        return last if folder.pause_asked() >= last else last - 1
    return last if result["status"] == "finished" else last - 1  # its loss was lost before it was evaluated
