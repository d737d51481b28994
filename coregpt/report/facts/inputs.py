"""What the report is made from: plain facts about a study, with no statistics and no files.

Lower metric values are better throughout. Facts about single runs are in `runs`.
"""

import math
from typing import Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from coregpt.report.facts.base import Facts, Stream, metric_on, without_nothing
from coregpt.report.facts.bracket import Bracketed
from coregpt.report.facts.chain import ChainFacts
from coregpt.report.facts.environment import EnvironmentFacts
from coregpt.report.facts.evaluate import Evaluated
from coregpt.report.facts.placebo import PlaceboFacts
from coregpt.report.facts.program import ProgramFacts
from coregpt.report.facts.runs import OtherRun


class ArmFacts(Facts):
    """What one arm is: plugins with their options, and its size and budget as counted before training.

    Sizes are None where they are unknown, which is not the same as zero.
    """

    name: str = Field(min_length=1)
    description: str = ""
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)
    parameters: int | None
    flops_per_token: float | None
    tokens: int | None
    steps: int
    seeds: tuple[int, ...] = ()
    """The runs of this arm where arms have different numbers of them; empty: the study's seeds."""


Reason = Literal["technique", "prescribed", "tuned", "matched", "rest"]
"""Why an arm differs from the baseline: it is the technique, or prescribed by it, or found with equal effort before the
test, or set so that arms spend equally much. The rest alone is a confound."""


class Confound(Facts):
    """A setting, or what settings come to, that differs between arms and is no technique as a whole."""

    setting: str
    values: dict[str, str]
    why: dict[str, Reason] | None = None
    """By arm that differs from the baseline; None where nobody sorted it, as in older reports: then it is the rest."""

    @property
    def confounds(self) -> bool:
        """Whether it takes credit from the technique."""
        return self.why is None or "rest" in self.why.values()

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "why")


BITS = "bits_per_byte"
"""The metric of a study whose losses are of text; all values of its report are."""


class DataFacts(Facts):
    """The data every arm was trained and judged on."""

    name: str
    sha256: str
    train_tokens: int | None
    val_tokens: int | None
    """Of the stream `held_out`."""
    eval_tokens: int | None
    """The first ones of a stream, on which a loss is evaluated."""
    split_rule: str
    select_tokens: int | None = None
    """Of the stream `select`; None where there was none, and curves were of the tokens that decided."""
    sealed_tokens: int | None = None
    """Of the second text that every final loss is measured on beside `held_out`; 0 where the data are too small."""
    eval_bytes: int | None = None
    """Bytes of text that the tokens are whose loss decides; None where they are not known to add up to the text."""
    pass_tokens: int | None = None
    """Of one pass, where rows leave tokens out, sources are mixed or arms have their own; None: all training tokens."""

    def bits_per_byte(self, loss: float | None) -> float | None:
        """A loss in nats per token as bits per byte of text, which tokenizers do not change; None where not known."""
        if loss is None or not self.eval_bytes or not self.eval_tokens:
            return None
        return loss * self.eval_tokens / self.eval_bytes / math.log(2)

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "select_tokens", "sealed_tokens", "eval_bytes", "pass_tokens")


class TrunkFacts(Facts):
    """What the arms of one seed begin with; `state` is the digest of all that they took over, "" if none has yet."""

    run_id: str
    seed: int
    state: str = ""


class ForkFacts(Facts):
    """Where the arms of a fork branch: after `step` steps and `tokens` tokens of the baseline."""

    step: int
    tokens: int
    trunks: tuple[TrunkFacts, ...]


class PriorFacts(Facts):
    """The variance of a paired difference borrowed from earlier reports, worth `df` degrees of freedom."""

    variance: float = Field(gt=0)
    df: float = Field(gt=0)
    files: dict[str, str]
    """sha256 of each earlier report, by its path as declared."""


class RuleFacts(Facts):
    """When an arm may be decided: after each of `sizes` seeds, or after every seed."""

    sizes: tuple[int, ...]
    """Rising; the last is the number of seeds."""
    anytime: bool = False
    spending: Literal["pocock", "obrien_fleming"] = "pocock"
    futility: float | None = None
    """The gain the study is made for; None where no arm is given up."""


class PauseFacts(Facts):
    """Where arms paused that might not be finished. Losses there by arm in seed order; None where not known yet."""

    step: int
    steps: int
    losses: dict[str, tuple[float | None, ...]]
    ends: tuple[float | None, ...] | None = None
    """The baseline's final losses on the stream of `losses`; None in older reports, where there was one stream."""

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "ends")


class Decided(Facts):
    """A decision on one arm, as the ledger recorded it when it was made."""

    arm: str
    pairs: int
    decision: Literal["reject", "futile", "accept", "aborted", "continue"]


class StudyFacts(Facts):
    """The preregistration: everything decided before the first run."""

    name: str
    question: str
    baseline: str
    arms: tuple[ArmFacts, ...]
    metric: str = "val_loss"
    reads: Stream | None = None
    """What final values were evaluated on; None for logs, and in reports from before there were two streams."""
    curves: Stream | None = None
    """The same of learning curves."""
    unit: str = "nats per byte"
    alpha: float = Field(0.05, gt=0, lt=0.5)
    margin: float = Field(0.01, gt=0)
    power: float = Field(0.9, gt=0.5, lt=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    paired: bool = True
    """Whether the runs of one seed share data order and initial weights between arms."""
    assumed_sd: float | None = Field(None, gt=0)
    """Standard deviation of the per-seed difference that the plan assumed, in `unit`."""
    hypothesis: str = ""
    direction: Literal["better", "worse", "either"] = "either"
    """What the hypothesis expects of the techniques; tests are two-sided all the same."""
    mode: Literal["", "leave_one_out", "add_one", "factorial", "fork"] = ""
    """How the arms were made from `techniques`, or that they branch; empty where they were listed."""
    techniques: tuple[str, ...] = ()
    fork: ForkFacts | None = None
    """Of a study whose arms share their beginning only."""
    equal: Literal["tokens", "flops", "seconds", "steps"] = "tokens"
    """What every arm spent the same amount of."""
    match: Literal["", "tokens", "params", "flops", "seconds"] = ""
    """What arms were adjusted to have as much of as the baseline before the first run; empty: nothing."""
    screen: float | None = None
    """False discovery rate of a study that only passes arms on for confirmation; None for any other."""
    prior: PriorFacts | None = None
    """What a declared history says about the noise; None where none was declared."""
    rule: RuleFacts | None = None
    """Of a study that may decide arms before all seeds."""
    pause: PauseFacts | None = None
    """Of a study that may leave arms unfinished."""
    give_up: float | None = None
    """Of a screen that takes one seed at a time: the chance to come out as a candidate below which it stops."""
    placebo: PlaceboFacts | None = None
    """What the baseline against itself came to on this machine; None where nobody asked."""
    decided: tuple[Decided, ...] = ()
    bracket: Bracketed | None = None
    """What was found of each arm's own setting before the test; None where settings are as declared."""
    stage: Literal["screen"] | None = None
    """Of a study that looks for candidates and calls nothing better; None for any other."""
    chain: ChainFacts | None = None
    """What the ledger knows of the chain of studies on this baseline; None where nothing is registered."""
    program: ProgramFacts | None = None
    """Of a study whose arms are commands; None where our trainer made the runs, and of logs."""
    target: float | None = Field(None, gt=0)
    """A value of the metric: which arms reach it, and how soon. None where none was declared."""
    yardstick: str = ""
    """The arm that is the baseline with fewer tokens; it is measured with and not compared."""
    evaluated: Evaluated | None = None
    """What was measured of finished runs beside the metric; None where nothing was asked for."""
    inert: tuple[str, ...] | None = None
    """Arms declared to have a technique that does nothing in them; None where there is none."""
    untuned: dict[str, str] | None = None
    """By arm whose own optimum nothing looked for, at which learning rates it is compared; None where there is none."""
    departures: tuple[str, ...] | None = None
    """What arms do otherwise than their techniques prescribe, a sentence each; None where there is nothing."""
    pilot: bool | None = None
    """True of a study whose runs were wanted without a verdict; None of any other."""
    incomparable: dict[str, str] = Field(default_factory=dict)
    """Arms whose final metric says nothing about the technique against the baseline's, and why."""
    declaration: dict[str, Any] = Field(default_factory=dict)
    """The study as resolved and hashed into `digest`: enough to run its arms again with other seeds."""
    code: dict[str, Any] = Field(default_factory=dict)
    """Digests of engine, data and plugins the runs were made with."""
    started: tuple[str, ...] = ()
    """Every run the ledger has seen for the study; each must be analysed or stand among `other_runs`."""
    other_runs: tuple[OtherRun, ...] = ()
    exploratory: str = ""
    """Why the study is not confirmatory (for example: amended after the first run); empty if it is."""
    imported: str = ""
    """Which logs the runs were read from, if CoreGPT did not make them: then nothing was fixed beforehand."""
    scale: str = ""
    digest: str
    command: str = ""
    confounds: tuple[Confound, ...] = ()
    data: DataFacts
    environment: EnvironmentFacts = EnvironmentFacts()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"arm names must differ, got {names}")
        if self.baseline not in names:
            raise ValueError(f"baseline {self.baseline!r} is not one of the arms {names}")
        if not self.treatments:
            raise ValueError("a study needs at least one arm besides the baseline")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}: equal seeds are one observation")
        compared = [name for name in names if name not in self.aside]
        if self.bracket is not None and [each.arm for each in self.bracket.arms] != compared:
            raise ValueError(f"bracket.arms must list the compared arms {compared} in order")
        for arm in self.arms:
            if arm.seeds and (self.paired or not set(arm.seeds) <= set(self.seeds)):
                raise ValueError(f"arm {arm.name!r}: own seeds need an unpaired study that has these seeds")
        return self

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own = ("bracket", "inert", "stage", "chain", "reads", "curves", "untuned", "departures", "pilot")
        return without_nothing(handler(self), *own, "give_up", "program", "placebo", "evaluated")

    @property
    def level(self) -> float:
        """What an adjusted p-value is held against."""
        return self.alpha if self.screen is None else self.screen

    @property
    def passes(self) -> float | None:
        """Over the training tokens, by the arm that was trained longest; None where nobody counted them."""
        tokens = [arm.tokens for arm in self.arms if arm.tokens is not None]
        one = self.data.pass_tokens or self.data.train_tokens
        return max(tokens) / one if tokens and one else None

    @property
    def curve_metric(self) -> str:
        """What learning curves show."""
        if self.metric == BITS:
            return f"{BITS} on {self.curves}"
        return self.metric if self.curves is None else metric_on(self.curves, "val_loss")

    def planned(self, arm: str) -> tuple[int, ...]:
        """The seeds of one arm."""
        own = next(facts.seeds for facts in self.arms if facts.name == arm)
        return own or self.seeds

    @property
    def treatments(self) -> tuple[str, ...]:
        """Names of the arms that are compared with the baseline, in YAML order."""
        return tuple(arm.name for arm in self.arms if arm.name not in (self.baseline, *self.aside))

    @property
    def shared_tokens(self) -> int:
        """Tokens that the runs of one seed are trained on together, once, before their arms part."""
        return self.fork.tokens if self.fork else 0

    @property
    def aside(self) -> dict[str, str]:
        """Arms that are measured with and not compared, and what each is."""
        return {self.yardstick: "yardstick"} if self.yardstick else {}
