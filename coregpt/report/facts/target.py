"""What a report says about a target, as data. Secondary: no verdict word follows from it."""

from typing import Literal

from coregpt.report.facts.base import Facts, Interval

Axis = Literal["steps", "tokens", "flops", "seconds"]


class TargetClaim(Facts):
    """Whether the mean of one arm's final values lies below the target; one-sided, this arm by itself.

    The fixed-sigma rule is the speedrun's and stands here for comparison only.
    """

    arm: str
    claimed: bool
    cause: str = ""
    """Why nothing can be claimed, in plain words; empty where the test was made."""
    n: int
    mean: float | None = None
    sd: float | None = None
    t: float | None = None
    p: float | None = None
    earliest_step: int | None = None
    """The earliest evaluated step from which on the target is claimed."""
    fixed_sigma_score: float | None = None
    fixed_sigma_p: float | None = None
    fixed_sigma_claims: bool | None = None


class Arrival(Facts):
    """When the runs of one arm first met the target, and the same against the baseline.

    `saved` is the mean time of the baseline minus that of the arm, both cut at `horizon`, the end of a run that had
    not got there; without a cut, and a horizon, where all runs did. `ratio` is baseline / arm without any cut.
    """

    arm: str
    runs: int
    reached: int
    cause: str = ""
    """Why there are no numbers; empty otherwise."""
    still_above: tuple[tuple[float, float], ...] = ()
    """Kaplan-Meier: from each of these points on, the share of runs that have not met the target."""
    mean: float | None = None
    mean_interval: Interval | None = None
    horizon: float | None = None
    restricted_mean: float | None = None
    saved: float | None = None
    saved_interval: Interval | None = None
    p_saved: float | None = None
    p_log_rank: float | None = None
    ratio: float | None = None
    ratio_interval: Interval | None = None
    no_ratio: str = ""


class Race(Facts):
    """Arrivals on one axis; `end` is where the longest budget ends."""

    axis: Axis
    end: float
    arrivals: tuple[Arrival, ...]


class Targets(Facts):
    """Everything about the target but the seconds, which are among the report's timing."""

    target: float
    level: float
    claims: tuple[TargetClaim, ...]
    races: tuple[Race, ...]
