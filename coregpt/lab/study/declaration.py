"""What a study declares: its arms, complete and validated, and how the question will be decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt

from coregpt.contract.config import Frozen, RunConfig, Span
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.meaning import digest_of
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.sections.bracket import BracketFile
from coregpt.lab.study.sections.budget import BudgetFile
from coregpt.lab.study.sections.chain import ChainName, ConfirmsFile, EarlierFile, FollowsFile, Stage
from coregpt.lab.study.sections.evaluate import EvaluateFile
from coregpt.lab.study.sections.space import TuningFile
from coregpt.lab.study.sections.tuned import TunedFile
from coregpt.stats.design import Spending

Combination = Literal["leave_one_out", "add_one", "factorial"]
Mode = Literal[Combination, "fork"]
"""A fork lists its arms like any study; how they branch is `lab.designs.fork`."""
Direction = Literal["better", "worse", "either"]
"""What the hypothesis expects of the techniques; tests stay two-sided."""
Axis = Literal["tokens", "flops", "seconds", "steps"]
"""What every arm may spend the same amount of."""
Match = Literal["tokens", "params", "flops", "seconds"]
"""What arms are adjusted to spend as much of as the baseline (see `lab.designs.match`)."""
Keep = Literal["weights", "nothing"]
Stream = Literal["held_out", "select"]
"""Tokens that no run trains on: `held_out` is for verdicts, `select` for everything that is chosen."""
OUR_METRIC = "val_loss"
"""What our trainer is judged by."""
TOLERANCE = 0.01
"""How far arms may differ in what the study holds equal."""


def no_whole_share(fork_at: Any) -> Any:
    """Raises ValueError for `1.0`: a share would end at the run's end, where nothing is left to branch from."""
    if isinstance(fork_at, float) and fork_at == 1:
        raise ValueError("1.0 is the whole run as a share and the first step as a number; write 1 for that step")
    return fork_at


class Machine(Frozen):
    """What may depend on the computer. `auto` is decided when the study runs."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto"] | bool = "auto"


class Criterion(Frozen):
    """How the question will be decided."""

    baseline: str
    """The arm every other arm is compared with."""
    metric: Annotated[str, Field(min_length=1)] = OUR_METRIC
    """Lower is better. Of our trainer's runs loss per token, or bits per byte of text, which means the same for every
    tokenizer (`lab.designs.bits`); a program may report any."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Largest accepted probability of calling an arm better or worse when it is neither, over all arms."""
    margin: PositiveFloat = 0.01
    """Differences smaller than this do not matter, in the metric's unit."""
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    """Probability with which the smallest detectable difference is detected."""
    sd: PositiveFloat | None = None
    """Standard deviation of the per-seed difference between two arms that the plan assumes."""
    target: PositiveFloat | None = None
    """A value of the metric: which arms reach it, and how soon."""
    yardstick: Annotated[float, Field(ge=0.3, le=0.95)] | None = None
    """The share of its tokens with which the baseline is trained once more, to express gains as steps saved."""
    screen: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """False discovery rate at which many arms are passed on for confirmation, instead of getting verdicts."""
    history: tuple[str, ...] = ()
    """Earlier reports of the same setup, by path beside the file, whose noise a test of 3 or 4 seeds borrows."""

    looks: tuple[PositiveInt, ...] = ()
    """Numbers of seeds after which an arm may be decided, the last being all seeds; alpha is spent over them."""
    spending: Spending | None = None
    """How `looks` spend alpha; as Pocock's boundaries do where it is left out."""
    futility: PositiveFloat | None = None
    """The gain that a study with `looks` is made for: an arm that will hardly have it is given up early."""
    anytime: bool = False
    """Whether an arm may be decided after every seed from the third on, by an e-value."""
    abort: Annotated[float, Field(ge=0.3, le=0.95)] | None = None
    """The share of the run at which arms pause that are finished only if they may still come out significant."""
    give_up: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """In a screen of one arm, seed by seed: the chance to come out as a candidate below which it is given up."""

    pilot: bool = False
    """Whether the runs are wanted even if their seeds are too few for any verdict."""

    def declared(self) -> dict[str, Any]:
        """As plain data; a design that is not used is left out, so that adding one changed no older digest."""
        unused = {name for name, field in type(self).model_fields.items() if getattr(self, name) == field.default}
        return self.model_dump(mode="json", exclude=unused - _ALWAYS_DECLARED)


_ALWAYS_DECLARED = {"metric", "alpha", "margin", "power", "sd"}


class StudyFile(BaseModel):
    """The top level of the file, before arms are merged."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    question: str = Field(min_length=1)
    hypothesis: str = ""
    direction: Direction = "either"
    equal: Axis = "tokens"
    match: Match | None = None
    base: dict[str, Any] = {}
    arms: dict[str, dict[str, Any] | None] | None = None
    mode: Mode | None = None
    fork_at: Annotated[Span, Field(gt=0), BeforeValidator(no_whole_share)] | None = None
    """With `mode: fork`: where the arms branch, below 1 a share of the baseline's steps, from 1 on a step."""
    techniques: dict[str, dict[str, Any] | None] | None = None
    """With `mode`, instead of `arms`: plugins and their options (see `lab.designs.modes`)."""
    seeds: int | list[int]
    scales: dict[str, dict[str, Any] | None] = {}
    sizes: dict[str, dict[str, Any] | None] = {}
    """Settings laid over base and scale, smallest size first: each becomes a study (see `lab.designs.sizes`)."""
    tuning: TuningFile | None = None
    bracket: BracketFile | None = None
    """Each arm's learning rate, or another setting, found before the test (see `lab.designs.bracket`)."""
    tuned: TunedFile | None = None
    """Each arm's settings as the bracket of an earlier report found them (see `lab.designs.tuned`)."""
    stage: Stage | None = None
    """What the study is in a chain of studies, unless it may call an arm better (see `lab.designs.chain`)."""
    chain: ChainName | None = None
    """Another chain than that of all studies on this baseline."""
    earlier: EarlierFile | None = None
    """What was tried on this baseline where no ledger at hand has it."""
    confirms: ConfirmsFile | None = None
    """Written by `coregpt confirm`; `seeds` is then how many fresh ones."""
    follows: FollowsFile | None = None
    """Written by `coregpt judge`: the baseline is what another study of the chain confirmed."""
    budget: BudgetFile | None = None
    """What runs may spend, in seconds, hours and money (see `lab.designs.budget`)."""
    evaluate: EvaluateFile | None = None
    """Secondary outcomes of every finished run (see `lab.designs.evaluate`)."""
    test: dict[str, Any]
    plugin_files: list[str] = []
    gpus_per_run: PositiveInt | Literal["auto"] = 1
    """`auto`: decided by a measurement (see `lab.planning.split`)."""
    keep: Keep = "weights"
    """What is kept of a finished run beside its numbers: its final weights, until `coregpt gc`, or nothing."""
    systems: list[Annotated[str, Field(min_length=1)]] = []
    """What of a recipe's source is work on speed that changes no number, and is not here. `plan` repeats it."""

    @property
    def axis(self) -> Axis:
        """What arms spend the same amount of; matching on something implies it."""
        return "tokens" if self.match == "params" else self.match or self.equal


@dataclass(frozen=True)
class Arm:
    """One arm, complete except for its seeds and what the machine decides."""

    name: str
    run: RunConfig
    machine: Machine
    compared: bool = True
    """False for an arm that is measured with and is no part of the question."""
    inert: bool = False
    """The file says that a technique may do nothing in it (`inert: true`)."""

    def settings(self) -> dict[str, Any]:
        """Every setting as plain data, plugin defaults included; seeds are no setting of an arm."""
        if (kind := foreign(self.run)) is not None:
            return {**kind.settings(), "device": self.machine.device}
        own = self.run.model_dump(mode="json", exclude={"seed", "data_seed", "inputs", *Machine.model_fields})
        inputs = {name: source.identity() for name, source in self.run.inputs.items()}
        return {**own, **({"inputs": inputs} if inputs else {}), **self.machine.model_dump(mode="json")}


@dataclass(frozen=True)
class Study:
    """A validated study. What it declares of designs lies in `designs`, which only they read."""

    name: str
    """Name of its folder in reports/: the file's name, and the scale where it is not the default one."""
    path: Path
    question: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    scale: str
    criterion: Criterion
    catalogue: Catalogue
    gpus_per_run: int = 1
    """Where `splits`, 1 until it is decided."""
    techniques: tuple[str, ...] = ()
    """What the arms were made from where the file does not list them."""
    hypothesis: str = ""
    direction: Direction = "either"
    equal: Axis = "tokens"
    designs: Mapping[str, Any] = field(default_factory=dict)
    """By YAML key, as it is hashed: plain data, or an object whose `declared()` is (see `lab.designs.design`)."""
    as_declared: tuple[Arm, ...] = ()
    """The compared arms as they were written, if a design has changed them since; they are what is hashed."""
    family: str = ""
    """Name of the folder in reports/ for what is said of all members, where one file declares several studies."""
    member: str = ""
    """Which of them this study is; empty for a single study."""
    splits: bool = False
    """Whether a measurement decides `gpus_per_run`, as declared by `auto` (see `lab.planning.split`)."""
    reads: Stream = "held_out"
    """What its runs are compared on: a study that chooses (trials, a screen) never sees what verdicts are made on."""
    keep: Keep = "weights"
    """What its runs leave beside their numbers. It changes none, so it is no part of any identity."""
    systems: tuple[str, ...] = ()
    """What of a recipe's source is work on speed alone. It changes no number, so it is no part of any identity."""
    unresolved: Mapping[str, Any] = field(default_factory=dict)
    """What is declared in place of what only registration decides: how many fresh seeds, and alpha before its level."""

    @property
    def compared(self) -> tuple[Arm, ...]:
        """The arms of the question."""
        return tuple(arm for arm in self.arms if arm.compared)

    @property
    def written(self) -> tuple[Arm, ...]:
        """The arms of the question as the file has them, whatever was matched or tuned since."""
        return self.as_declared or self.compared

    @property
    def inert(self) -> tuple[str, ...]:
        """Arms of the question that may have a technique which does nothing."""
        return tuple(arm.name for arm in self.written if arm.inert)

    def preregistration(self) -> dict[str, Any]:
        """Everything that is decided before the first run, as plain data."""
        return {
            "question": self.question,
            "hypothesis": self.hypothesis,
            "direction": self.direction,
            "equal": self.equal,
            "scale": self.scale,
            "arms": {arm.name: arm.settings() for arm in self.written},
            "seeds": list(self.seeds),
            "test": self.criterion.declared(),
            **({"inert": list(self.inert)} if self.inert else {}),
            **{key: each.declared() if hasattr(each, "declared") else each for key, each in self.designs.items()},
            **self.unresolved,
        }

    @cached_property
    def digest(self) -> str:
        """sha256 of the preregistration, whichever way its data's folder and its zeros are spelled."""
        return digest_of(self.preregistration())
