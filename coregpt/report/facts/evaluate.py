"""Secondary outcomes as data: what was measured of each run beside the metric, and what follows. No verdict does."""

from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from coregpt.report.facts.base import Facts, Interval, Stream, without_nothing


class OutcomeFacts(Facts):
    """One outcome, by arm in the order of the study's seeds; None where a run has none."""

    name: str
    values: dict[str, tuple[float | None, ...]]


class Evaluated(Facts):
    """Everything that was measured."""

    stream: Stream
    tokens: int
    outcomes: tuple[OutcomeFacts, ...]
    known: int = 0
    """Runs of the baseline and of other arms that had results when these outcomes were declared; 0: they may be judged
    as what was asked beforehand."""
    context: int | None = None
    """Tokens of a row in training, where it is one for all arms."""
    lacking: tuple[str, ...] = ()
    """What a model does not have, or of which finished runs nothing was measured, a sentence each."""

    @model_serializer(mode="wrap")
    def _without_books(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "context")


class SecondaryResult(Facts):
    """One outcome of one arm against the baseline, over the seeds where both have it. Differences: arm minus baseline.

    `interval` is the plain 95% interval of this difference alone, `p_adjusted` is Holm's over all of the study's.
    """

    outcome: str
    arm: str
    pairs: int
    baseline: float | None
    value: float | None
    difference: float | None
    se: float | None = None
    df: float | None = None
    interval: Interval | None = None
    p: float | None = None
    p_adjusted: float | None = None
    shown: Literal["", "lower", "higher"] = ""
    """Empty where no difference was shown, which is not the same as none."""
    untested: str = ""
    """Why there is no test."""


class Secondary(Facts):
    """All of them: `comparisons` is the number of outcomes times that of arms, tested or not."""

    comparisons: int
    results: tuple[SecondaryResult, ...]
