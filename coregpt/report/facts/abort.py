"""What the report says of arms that were not finished for want of prospects, as data."""

from coregpt.report.facts.base import Facts


class ArmPause(Facts):
    """One arm at the pause. `chance` is of a significant final result; None while it cannot be had."""

    arm: str
    gain: float | None
    chance: float | None
    aborted: bool


class Pause(Facts):
    """Where arms paused that might not be finished, and what it saved."""

    step: int
    steps: int
    rest_sd: float | None
    """Standard deviation, over the baseline's runs, of the loss still to come at the pause."""
    arms: tuple[ArmPause, ...]
    saved: float
    """Share of all planned steps that were not trained."""
