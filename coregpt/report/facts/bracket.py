"""What a bracket before the test tried and found, as data."""

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from coregpt.report.facts.base import Facts, Interval, Stream, metric_on, without_nothing


class RatePoint(Facts):
    """One value that was tried for an arm: `x` in octaves from the declared one, final losses by tuning seed."""

    x: float
    value: float
    losses: tuple[float, ...] = Field(min_length=1)
    """Infinite where the run diverged."""


class ArmBracket(Facts):
    """The bracket of one arm. Rates are in octaves from the declared value; see `coregpt.stats.response`."""

    arm: str
    declared: float
    value: float
    """Of the setting, with which the test ran."""
    settings: dict[str, float]
    """All that moved, with the values that the test ran with."""
    points: tuple[RatePoint, ...] = Field(min_length=1)
    seeds: tuple[int, ...]
    kind: Literal["parabola", "cubic", "best point"]
    optimum: float | None
    minimum: float | None
    """Of the fitted curve, wherever it lies."""
    interval: Interval | None
    """95% interval of the minimum."""
    curvature: float | None
    expected_loss: float | None
    """From the optimum's being estimated, before its bound."""
    coefficients: tuple[float, ...] = ()
    """Of the fitted curve in powers of x, the constant first."""
    edge: Literal["none", "low", "high"] = "none"
    cliff: float | None = None
    """The lowest x above the best at which a run diverged."""
    why_not: str = ""
    """Why nothing may be credited to the technique; empty for an arm that is tuned."""
    runs: int = 0
    started: int = 0
    """Runs ever started for it, those of earlier declarations included."""
    flops: float = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(len(point.losses) != len(self.seeds) for point in self.points):
            raise ValueError(
                f"bracket of {self.arm!r}: every point needs a loss for each of its {len(self.seeds)} seeds"
            )
        if self.cliff is not None and self.cliff not in self.tried:
            raise ValueError(f"bracket of {self.arm!r}: cliff {self.cliff} is no value that was tried")
        return self

    @property
    def tried(self) -> dict[float, tuple[float, ...]]:
        """Losses by x, as `coregpt.stats` takes them."""
        return {point.x: point.losses for point in self.points}


class BracketSource(Facts):
    """An earlier report whose bracket gave the settings."""

    path: str
    """As declared."""
    sha256: str
    question: str
    remarks: tuple[str, ...] = ()
    """How what was bracketed was not quite what is compared: `on another version of the data`."""


class Bracketed(Facts):
    """What was bracketed before the test, by arm in the study's order."""

    setting: str
    arms: tuple[ArmBracket, ...]
    reads: Stream | None = None
    """What its losses were evaluated on; None in reports from before there were two streams."""
    source: BracketSource | None = None
    """The report that it was taken from; None where it is of this study."""

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "reads", "source")

    def metric(self, tested: str) -> str:
        """What its losses are called, `tested` being the metric of the test."""
        return metric_on(self.reads, tested)

    @property
    def settings(self) -> dict[str, dict[str, float]]:
        """By arm and dotted setting: what the test ran with."""
        return {each.arm: dict(each.settings) for each in self.arms}

    @property
    def moved(self) -> frozenset[str]:
        """Settings that arms may differ in because of the bracket alone, and what these come to in a model."""
        paths = {path for each in self.arms for path in each.settings}
        return frozenset(paths | {_COMES_TO[end] for path in paths if (end := path.rpartition(".")[2]) in _COMES_TO})


_COMES_TO = {"lr": "peak learning rate", "weight_decay": "weight decay"}
"""What a report calls the values that parameters end up with, by the last part of the setting."""
