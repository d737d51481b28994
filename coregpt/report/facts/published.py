"""A published report on the same declaration, which one's own execution of it is held against."""

from pydantic import Field

from coregpt.report.facts.base import Facts, Interval


class PublishedGain(Facts):
    """What it says of one arm, and what agrees with that."""

    arm: str
    gain: float
    interval: Interval
    """A gain over as many seeds agrees if it lies in here (`analysis.replication`)."""


class Published(Facts):
    """The report, by what of it is compared."""

    path: str
    sha256: str
    same: bool
    """Whether all runs came to what they came to there, to the last digit."""
    gains: tuple[PublishedGain, ...] = ()
    code: tuple[str, ...] = ()
    """What of engine, data and plugins is not the same."""
    apart: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """What of the environment is not the same: there, here."""
