"""The report as data: everything the pages show, nothing they compute. Two executions differ in `timing` only."""

import math
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from coregpt.report.facts.abort import Pause
from coregpt.report.facts.base import Facts, Interval, without_nothing
from coregpt.report.facts.evaluate import Secondary
from coregpt.report.facts.factorial import Effects
from coregpt.report.facts.fork import Fork
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.looks import Look, Stopping
from coregpt.report.facts.match import MatchedSeconds
from coregpt.report.facts.published import Published
from coregpt.report.facts.runs import CurvePoint, RunStatus, RunTiming
from coregpt.report.facts.short_baseline import Yardstick
from coregpt.report.facts.target import Race, Targets
from coregpt.report.facts.tuning import Tuned
from coregpt.stats.design import Design

Word = Literal[
    "better", "worse", "equivalent", "screened", "candidate", "no sign", "inconclusive", "unstable", "invalid", "pilot"
]

SCHEMA: Literal[1] = 1
UNEXPLAINED = 1.5
"""Times the time per token that FLOPs explain: more is told, since nobody counted what was done in it."""


class ArmSummary(Facts):
    """One arm over its seeds. With diverged or absent runs, mean and sd are conditional on finishing."""

    arm: str
    finished: int
    diverged: int
    absent: int
    mean: float | None
    sd: float | None
    conditional: bool


class Comparison(Facts):
    """One arm against the baseline. Gains are baseline minus arm: positive means the arm is better.

    `p` is of this contrast alone, `p_adjusted` is corrected for the number of arms and decides.
    `interval` is the plain 95% interval; `test_interval` holds for all arms together at 1 - alpha.
    A value is None where it cannot be had; `test` says which test produced `p`.
    """

    arm: str
    verdict: Word
    size: Literal["", "below the margin", "at least the margin"] = ""
    sentence: str = ""
    cause: str = ""
    """Why there is no better, worse or equivalent, in plain words; empty otherwise."""
    test: str = ""
    pairs: int = 0
    gain: float | None = None
    gain_condition: str = ""
    """What the gain is conditional on, for example finishing; empty if all planned runs count."""
    se: float | None = None
    """Standard error of the gain, the allowance included."""
    allowance: float | None = None
    """The part of `se` squared that comes from how surely the arms' own settings are known; more seeds leave it as it
    is. None where settings are as declared."""
    df: float | None = None
    t: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    p_separate: float | None = None
    """Paired t of this arm alone, Holm-adjusted, beside a pooled test."""
    p_sign_flip: float | None = None
    p_welch: float | None = None
    p_equivalence: float | None = None
    interval: Interval | None = None
    interval90: Interval | None = None
    test_interval: Interval | None = None
    effect_size: float | None = None
    smallest_detectable: float | None = None
    seed_correlation: float | None = None
    seed_correlation_interval: Interval | None = None
    pairing_worth: float | None = None
    more_seeds: int | None = None
    more_runs: int | None = None
    """Of the arm and the baseline together, for `more_seeds`; `more_flops` is what they train."""
    more_flops: float | None = None
    look: Look | None = None
    """The look that decided the arm, in a study that may decide before all seeds."""
    noisy: bool = False
    failures: tuple[int, int] = (0, 0)
    """Diverged runs of the arm and of the baseline."""
    p_failures: float | None = None
    missing_seeds: tuple[int, ...] = ()
    knows: float | None = None
    """The gain on a second text that no run is named, where it shows that the arm knows the text it is judged on."""

    @property
    def little(self) -> bool:
        """Whether a difference was shown, and shown to be smaller than what matters."""
        return self.size == "below the margin"

    @property
    def sampling_se(self) -> float | None:
        """The part of `se` that more seeds shrink."""
        return None if self.se is None else math.sqrt(max(0.0, self.se**2 - (self.allowance or 0.0)))

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "allowance", "knows")

    @property
    def given_up(self) -> bool:
        """Whether the study followed the arm no further, without a verdict."""
        return self.look is not None and self.look.decision == "futile"


class RunResult(Facts):
    """One planned run, whatever became of it; curves are thinned to at most 400 points."""

    run_id: str
    arm: str
    seed: int
    status: RunStatus
    value: float | None
    reason: str
    curve: tuple[CurvePoint, ...]
    select: float | None = None
    """Final loss on `select`, where `value` is that on `held_out`."""
    sealed: float | None = None
    """The same on a second text that no run was named."""

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "select", "sealed")


class ArmTiming(Facts):
    """Speed of one arm over its finished runs; the ratio is time per token relative to the baseline, by seed."""

    arm: str
    tokens_per_second: float | None
    train_seconds: float | None
    time_ratio: float | None
    time_ratio_interval: Interval | None
    peak_memory_bytes: int | None


class Timing(Facts):
    """Everything a clock or memory counter measured. `runs` is parallel to the report's runs."""

    arms: tuple[ArmTiming, ...]
    runs: tuple[RunTiming, ...]
    more_hours: dict[str, float] = Field(default_factory=dict)
    """Hours of training that the further seeds of an undecided arm would take here, the baseline's included."""
    to_target: Race | None = None
    """Seconds to the target, if one was declared and every run was timed."""
    unequal_seconds: dict[str, float] = Field(default_factory=dict)
    """Median training seconds by arm where the study holds seconds equal and they came out different."""
    matched: tuple[MatchedSeconds, ...] = ()
    """By arm, where arms were matched on seconds and have finished runs."""
    tuning: dict[str, float] = Field(default_factory=dict)
    """Training seconds of all trials by arm, if there were any."""


class Report(Facts):
    """A finished analysis. Runs stand in YAML order of arms, then in order of the study's seeds."""

    schema_version: Literal[1] = Field(alias="schema")
    study: StudyFacts
    design: Design
    planned_detectable: float | None
    headline: str
    arms: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]
    effects: Effects | None = None
    """Of a factorial study only."""
    targets: Targets | None = None
    """If a target was declared."""
    yardstick: Yardstick | None = None
    """If a yardstick was declared."""
    secondary: Secondary | None = None
    """If anything was measured beside the metric. No verdict follows from it."""
    fork: Fork | None = None
    """Of a study whose arms share their beginning only."""
    stopping: Stopping | None = None
    """Of a study that may decide arms before all seeds."""
    pause: Pause | None = None
    """Of a study that may leave arms unfinished."""
    tuning: Tuned | None = None
    """Of a study whose settings were found by trials, before the test."""
    published: Published | None = None
    """Another report on the same declaration, where one is published."""
    notes: tuple[str, ...]
    runs: tuple[RunResult, ...]
    timing: Timing

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "published", "secondary")

    @property
    def trial_metric(self) -> str:
        """What the losses of trials are called."""
        return self.study.metric if self.tuning is None else self.tuning.metric(self.study.metric)

    @property
    def timed_apart(self) -> tuple[str, ...]:
        """Arms whose runs all began before the baseline's or after them, as where these are of an earlier study: what
        else the machine did then is in their time per token."""
        began: dict[str, list[str]] = {}
        for run, timing in zip(self.runs, self.timing.runs, strict=True):
            if run.status == "finished" and timing.first_started:
                began.setdefault(run.arm, []).append(timing.first_started)
        base = began.get(self.study.baseline, [])
        return tuple(arm for arm, own in began.items() if base and (max(own) < min(base) or min(own) > max(base)))

    @property
    def slower_than_flops(self) -> dict[str, float]:
        """Time per token over what FLOPs explain of it, both against the baseline, of arms that need far more."""
        flops = {arm.name: arm.flops_per_token for arm in self.study.arms}
        base, found = flops[self.study.baseline], {}
        for each in self.timing.arms:
            own = flops[each.arm]
            if each.time_ratio is not None and own and base:
                found[each.arm] = each.time_ratio / (own / base)
        return {arm: share for arm, share in found.items() if share > UNEXPLAINED}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [arm.name for arm in self.study.arms]
        if [arm.arm for arm in self.arms] != names or [arm.arm for arm in self.timing.arms] != names:
            raise ValueError(f"arms and timing.arms must list the study's arms {names} in order")
        if tuple(c.arm for c in self.comparisons) != self.study.treatments:
            raise ValueError(f"comparisons must list {list(self.study.treatments)} in order")
        planned = [(arm, seed) for arm in names for seed in self.study.planned(arm)]
        if [(run.arm, run.seed) for run in self.runs] != planned:
            raise ValueError("runs must list every arm with every seed, in order")
        if len(self.timing.runs) != len(self.runs):
            raise ValueError(f"timing.runs has {len(self.timing.runs)} entries for {len(self.runs)} runs")
        for run, timing in zip(self.runs, self.timing.runs, strict=True):
            if timing.seconds and len(timing.seconds) != len(run.curve):
                raise ValueError(f"timing.runs of {run.arm}, seed {run.seed}: seconds do not match the curve")
        return self
