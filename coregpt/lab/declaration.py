"""What a study declares: its arms, complete and validated, and how the question will be decided."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from coregpt.contract.config import Frozen, RunConfig
from coregpt.lab.identity import canonical
from coregpt.lab.modes import Mode
from coregpt.lab.registry import Catalogue

Direction = Literal["better", "worse", "either"]
"""What the hypothesis expects of the techniques; tests stay two-sided."""
Axis = Literal["tokens", "flops", "seconds", "steps"]
"""What every arm may spend the same amount of."""


class Machine(Frozen):
    """What may depend on the computer. `auto` is decided when the study runs."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Literal["auto"] | bool = "auto"


class Criterion(Frozen):
    """How the question will be decided."""

    baseline: str
    """The arm every other arm is compared with."""
    metric: Literal["val_loss"] = "val_loss"
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Largest accepted probability of calling an arm better or worse when it is neither, over all arms."""
    margin: PositiveFloat = 0.01
    """Differences smaller than this do not matter, in the metric's unit."""
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    """Probability with which the smallest detectable difference is detected."""
    sd: PositiveFloat | None = None
    """Standard deviation of the per-seed difference between two arms that the plan assumes."""


class StudyFile(BaseModel):
    """The top level of the file, before arms are merged."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    question: str = Field(min_length=1)
    hypothesis: str = ""
    direction: Direction = "either"
    equal: Axis = "tokens"
    base: dict[str, Any] = {}
    arms: dict[str, dict[str, Any] | None] | None = None
    mode: Mode | None = None
    techniques: dict[str, dict[str, Any] | None] | None = None
    """With `mode`, instead of `arms`: plugins and their options (see `coregpt.lab.modes`)."""
    seeds: int | list[int]
    scales: dict[str, dict[str, Any] | None] = {}
    test: dict[str, Any]
    plugin_files: list[str] = []
    gpus_per_run: PositiveInt = 1


@dataclass(frozen=True)
class Arm:
    """One arm, complete except for its seeds and what the machine decides."""

    name: str
    run: RunConfig
    machine: Machine

    def settings(self) -> dict[str, Any]:
        """Every setting as plain data, plugin defaults included; seeds are no setting of an arm."""
        own = self.run.model_dump(mode="json", exclude={"seed", "data_seed", *Machine.model_fields})
        return {**own, **self.machine.model_dump(mode="json")}


@dataclass(frozen=True)
class Study:
    """A validated study."""

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
    mode: Mode | None = None
    """How the arms were made from `techniques`; None where the file lists arms."""
    techniques: tuple[str, ...] = ()
    hypothesis: str = ""
    direction: Direction = "either"
    equal: Axis = "tokens"

    def preregistration(self) -> dict[str, Any]:
        """Everything that is decided before the first run, as plain data."""
        return {
            "question": self.question,
            "hypothesis": self.hypothesis,
            "direction": self.direction,
            "equal": self.equal,
            "scale": self.scale,
            "arms": {arm.name: arm.settings() for arm in self.arms},
            "seeds": list(self.seeds),
            "test": self.criterion.model_dump(mode="json"),
            **({"mode": self.mode} if self.mode else {}),
        }

    @property
    def digest(self) -> str:
        """sha256 of the preregistration."""
        return hashlib.sha256(canonical(self.preregistration())).hexdigest()
