"""What a report says about steps saved, as data. Secondary: no verdict word follows from it."""

from coregpt.report.facts.base import Facts, Interval


class StepsSaved(Facts):
    """The gain of one arm as steps of the baseline; the interval is Fieller's at 95%."""

    arm: str
    steps: float | None = None
    interval: Interval | None = None
    share: float | None = None
    """Of the baseline's steps."""
    cause: str = ""
    """Why there is no number or no interval."""
    extrapolated: bool = False
    """Whether the gain is larger than the difference the yardstick spans."""


class Yardstick(Facts):
    """The baseline at its full and at a shorter length: `slope` is the loss that one step is worth between them."""

    arm: str
    full_steps: int
    short_steps: int
    slope: float | None
    arms: tuple[StepsSaved, ...]
