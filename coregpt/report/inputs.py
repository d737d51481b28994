"""What the report is made from: plain facts about a study and its runs, with no statistics and no files.

Lower metric values are better throughout. Everything measured with a clock (and peak memory, which also
varies between executions) lives in `RunTiming`, so that the rest of two executions of one study is equal.
"""

from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

RunStatus = Literal["finished", "diverged", "failed", "missing"]


class Facts(BaseModel):
    """Frozen base: unknown keys are errors, and floats may be NaN or infinite where a run diverged."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CurvePoint(NamedTuple):
    """One evaluation during training; `value` is in the study's unit and may be NaN after divergence."""

    step: int
    tokens: int
    flops: float
    value: float


class ArmFacts(Facts):
    """What one arm is: plugins with their options, and its size and budget as counted before training."""

    name: str = Field(min_length=1)
    description: str = ""
    plugins: dict[str, dict[str, Any]] = {}
    parameters: int
    flops_per_token: float
    tokens: int
    steps: int


class Confound(Facts):
    """A setting that differs between arms beyond the technique under test."""

    setting: str
    values: dict[str, str]


class DataFacts(Facts):
    """The data every arm was trained and judged on."""

    name: str
    sha256: str
    train_tokens: int
    val_tokens: int
    eval_tokens: int
    split_rule: str


class EnvironmentFacts(Facts):
    """Versions, device, precision, compile mode; `warnings` name whatever differed between arms."""

    values: dict[str, str] = {}
    warnings: tuple[str, ...] = ()


class StudyFacts(Facts):
    """The preregistration: everything decided before the first run."""

    name: str
    question: str
    baseline: str
    arms: tuple[ArmFacts, ...]
    metric: str = "val_loss"
    unit: str = "nats per byte"
    alpha: float = Field(0.05, gt=0, lt=0.5)
    margin: float = Field(0.01, gt=0)
    power: float = Field(0.9, gt=0.5, lt=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    paired: bool = True
    """Whether the runs of one seed share data order and initial weights between arms."""
    assumed_sd: float | None = Field(None, gt=0)
    """Standard deviation of the per-seed difference that the plan assumed, in `unit`."""
    exploratory: str = ""
    """Why the study is not confirmatory (for example: amended after the first run); empty if it is."""
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
        if len(names) < 2:
            raise ValueError("a study needs at least one arm besides the baseline")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}: equal seeds are one observation")
        return self

    @property
    def treatments(self) -> tuple[str, ...]:
        """Arm names without the baseline, in YAML order."""
        return tuple(arm.name for arm in self.arms if arm.name != self.baseline)


class RunTiming(Facts):
    """What a clock or a memory counter measured during one run. Never part of a verdict."""

    tokens_per_second: float | None = None
    train_seconds: float | None = None
    compile_seconds: float | None = None
    peak_memory_bytes: int | None = None
    seconds: tuple[float, ...] = ()
    """Training seconds at each curve point; empty if not measured."""


class RunFacts(Facts):
    """One arm with one seed. `value` is the final metric, None when there is none."""

    run_id: str
    arm: str
    seed: int
    status: RunStatus
    value: float | None = None
    reason: str = ""
    curve: tuple[CurvePoint, ...] = ()
    timing: RunTiming = RunTiming()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.status == "finished" and self.value is None:
            raise ValueError(f"run {self.run_id!r} is finished but has no value")
        if self.timing.seconds and len(self.timing.seconds) != len(self.curve):
            raise ValueError(
                f"run {self.run_id!r} has {len(self.curve)} curve points but {len(self.timing.seconds)} seconds"
            )
        return self
