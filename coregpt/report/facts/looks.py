"""What the report says of arms that were decided before all seeds, as data."""

from typing import Literal

from coregpt.report.facts.base import Facts, Interval

Decision = Literal["reject", "futile", "continue", "accept"]


class Look(Facts):
    """One look at one arm after `n` of `planned` seeds.

    `p` is of this look alone and rejects below `level`; of an e-value it is 1 / e. Without a gain, ranks were tested.
    """

    n: int
    planned: int
    gain: float | None
    p: float
    level: float
    interval: Interval | None
    """Holds at every look and for all arms together at 1 - alpha."""
    decision: Decision


class ArmLooks(Facts):
    """The looks at one arm, in order."""

    arm: str
    looks: tuple[Look, ...]
    decided: bool
    seeds: int
    """That count: up to the look that decided, or to the next one."""


class Stopping(Facts):
    """What deciding early saved, and what became of runs nobody needed."""

    arms: tuple[ArmLooks, ...]
    planned: int
    """Runs."""
    spared: int
    """Runs never made, because they were not needed."""
    uncounted: tuple[str, ...] = ()
    """Runs that are there and lie beyond the seeds that count."""
