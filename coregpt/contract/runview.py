"""What a plugin may know of the run it takes part in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from coregpt.contract.config import ModelShape
from coregpt.contract.input import Input, Inputs
from coregpt.contract.rules import ParamInfo


def _alone(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class RunView:
    """Read-only facts for `add_schedules` (no model yet: `model` is None) and `add_companions`."""

    shape: ModelShape
    tokens: int
    """Training budget."""
    batch_tokens: int
    """Tokens per step before any batch schedule."""
    seed: int = 0
    model: nn.Module | None = None
    params: Mapping[str, nn.Parameter] = None  # type: ignore[assignment]
    """Parameter by path, however many wrappers surround it."""
    infos: Mapping[str, ParamInfo] = None  # type: ignore[assignment]
    dials: Mapping[str, Tensor | int | float] = None  # type: ignore[assignment]
    """Live: read it at a companion's moments."""
    all_reduce: Callable[[Tensor], Tensor] = _alone
    """Sum of a tensor over all ranks, in place."""
    all_max: Callable[[Tensor], Tensor] = _alone
    """Largest of each number over all ranks, in place."""
    inputs: Mapping[str, Input] = field(default_factory=lambda: Inputs({}))
    """By name. Raises PluginError, saying what to write, for one that the run does not have."""
