"""What tuning tried and found, as data."""

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from coregpt.report.facts.base import Facts, Stream, metric_on, without_nothing


class Trial(Facts):
    """One point of an arm's space. Values are final metrics by tuning seed, infinite where the run diverged."""

    number: int
    settings: dict[str, Any]
    values: tuple[float, ...]
    mean: float


class ArmTuning(Facts):
    """The trials of one arm."""

    arm: str
    space: dict[str, Any]
    """Dotted setting -> {low, high, log, whole} or a list of choices."""
    trials: tuple[Trial, ...]
    chosen: int
    """Number of the trial with the lowest mean."""
    expected_best: tuple[float, ...]
    """Expected lowest mean of k of the trials, for k = 1, 2, ..."""
    edges: dict[str, Any]
    """Chosen values that lie at an end of their range, by setting."""
    runs: int
    diverged: int
    """Trials with at least one run that diverged."""
    started: int
    """Runs ever started to tune this arm, those of earlier declarations included."""
    flops: float
    """Training FLOPs of the trials' runs."""

    @property
    def best(self) -> Trial:
        """The trial whose settings the test ran with."""
        return self.trials[self.chosen - 1]


class Tuned(Facts):
    """The tuning of every arm, in the study's order; all had the same number of trials."""

    seeds: tuple[int, ...]
    arms: tuple[ArmTuning, ...]
    reads: Stream | None = None
    """What the trials were evaluated on; None in reports from before there were two streams."""

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "reads")

    def metric(self, tested: str) -> str:
        """What their losses are called, `tested` being the metric of the test."""
        return metric_on(self.reads, tested)

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The values found, by arm and dotted setting."""
        return {each.arm: dict(each.best.settings) for each in self.arms}


def shown(value: object) -> str:
    """A value of a setting as it is typed."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_text(trial: Trial) -> str:
    """`optim.lr 0.002, optim.beta2 0.95`."""
    return ", ".join(f"{path} {shown(value)}" for path, value in trial.settings.items())
