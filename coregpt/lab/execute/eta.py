"""How long a study will still take, from how fast its runs move; how long they took to start says nothing about it."""

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST = 1.0
"""Seconds of training, over all runs, before a speed is told."""


@dataclass(frozen=True)
class Moving:
    """A run that is executing. Work may be in any unit, the same one everywhere."""

    left: float
    moved: float
    """What it has done in the last `seconds`."""
    seconds: float


class Eta:
    """Remembers what the runs that have ended took."""

    def __init__(self) -> None:
        self.work = self.seconds = 0.0

    def add(self, ended: Moving) -> None:
        self.work, self.seconds = self.work + ended.moved, self.seconds + ended.seconds

    def left(self, waiting: float, running: Sequence[Moving], slots: int) -> float | None:
        """Seconds until nothing is left to do, `waiting` being the work that no slot has yet; None if not known.

        As if no slot ever waited for another, but not less than the slowest of the running ones needs.
        """
        work = self.work + sum(run.moved for run in running)
        seconds = self.seconds + sum(run.seconds for run in running)
        if work <= 0 or seconds < SHORTEST or not slots:
            return None
        unfinished = [run.left for run in running]
        shared = (waiting + sum(unfinished)) / slots
        return seconds / work * max(shared, max(unfinished, default=0.0))
