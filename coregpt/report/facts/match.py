"""What came of matching arms on what only a clock can measure, as data."""

from typing import Literal

from coregpt.report.facts.base import Facts, Interval


class MatchedSeconds(Facts):
    """What came of `match: seconds` for one arm: its training time over the baseline's of the same seed, minus 1.

    Held or missed: its whole 95% interval lies within 1% or beyond. Unclear: clocks, or too few seeds, cannot tell.
    """

    arm: str
    off: float
    interval: Interval | None
    word: Literal["held", "missed", "unclear"]
