"""Answers that are not modules: how parameters move, how dials turn, what a parameter is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from coregpt.contract.config import ModelShape

Role = Literal["matrix", "embedding", "head", "table", "gate", "scalar"]
"""What a parameter is: a matrix of a linear map inside blocks, the token embedding (and learned positions), the map to
logits, a looked-up table beside the embedding, a small linear gate, or gains, biases and other vectors and numbers.
There are no other roles: what should be treated apart gets a `label` from a `ParamRule`."""
Dials = Mapping[str, Tensor | int | float]
"""Schedules at one step, by name: 0-d tensors (smooth) or Python values (stages)."""


@dataclass(frozen=True)
class Clock:
    """Where a run stands before step `step` (0-based) of `steps`."""

    step: int
    steps: int

    @property
    def progress(self) -> float:
        """0 before the first step, 1 after the last."""
        return self.step / self.steps

    def span(self, span: float) -> float:
        """A `Span` option in steps: below 1 it is a share of the run, from 1 on it is steps already."""
        return span if span >= 1 else span * self.steps


@dataclass(frozen=True)
class Stages:
    """A dial that must be static inside a graph: `((end, value), ...)` with ends rising to 1.

    `Stages((1/3, 64), (1, 128))` is 64 during the first third of the steps and 128 after.
    """

    parts: tuple[tuple[float, Any], ...]

    def __init__(self, *parts: tuple[float, Any]):
        ends = [end for end, _ in parts]
        if not parts or ends != sorted(set(ends)) or ends[0] <= 0 or ends[-1] != 1:
            raise ValueError(f"stage ends must rise and the last must be 1, got {ends}")
        object.__setattr__(self, "parts", tuple(parts))

    def __call__(self, clock: Clock) -> Any:
        """The value of the stage that contains `clock.step`; a stage ends at round(end x steps)."""
        for end, value in self.parts:
            if clock.step < round(end * clock.steps):
                return value
        return self.parts[-1][1]

    @property
    def values(self) -> tuple[Any, ...]:
        """The distinct values, in order of first use."""
        return tuple(dict.fromkeys(value for _, value in self.parts))


Smooth = Callable[[Clock], float]
Schedule = Smooth | Stages
"""How a dial turns: a function of the clock, or values that must be static inside a graph."""


@dataclass(frozen=True)
class ParamInfo:
    """What is known of a parameter when it is made."""

    path: str
    """Its site's path and its name: `blocks.0.attention.q.weight`."""
    shape: tuple[int, ...]
    role: Role
    writes: bool
    """True for a projection that writes into the residual stream (attention output, MLP down)."""
    layer: int | None
    """Number of the block it lies in; None outside blocks."""
    model: ModelShape = field(default_factory=ModelShape)
    """Sizes of the whole model."""


@dataclass(frozen=True)
class ParamRule:
    """A plugin's word on one parameter. Multipliers of several plugins multiply; two of anything else clash."""

    lr: float = 1.0
    weight_decay: float = 1.0
    role: Role | None = None
    init: float | Callable[[Tensor], Tensor] = 1.0
    """Multiplies, or maps, the initial value (already drawn from seed and path)."""
    label: str | None = None
    """A free word. Parameters of different labels are in different groups: `q`, `k`, `v` and `o` apart, say."""
    betas: tuple[float, float] | None = None
    """Decay of AdamW's moments, where it moves this parameter. Empty: the run's `optim` options."""
    eps: float | None = None
    """AdamW's epsilon for this parameter. Empty: the run's."""


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that share one update rule: equal role, shape, label, betas and epsilon."""

    role: Role
    shape: tuple[int, ...]
    paths: tuple[str, ...]
    label: str | None = None
    betas: tuple[float, float] | None = None
    eps: float | None = None
    layers: tuple[int | None, ...] = ()
    """The block of each parameter, as `ParamInfo.layer`."""
    model: ModelShape = field(default_factory=ModelShape)
    """Sizes of the whole model."""
    seed: int = 0
    """The run's seed, for `Noise.of`; `dials["rows"]` are the counters that go with it."""

    @property
    def name(self) -> str:
        """What messages call it: `matrix (128, 128)`, with its label if it has one."""
        return " ".join([self.role, *([f"'{self.label}'"] if self.label else []), str(self.shape)])


class UpdateRule(Protocol):
    """Turns gradients into directions. Core clips, stacks, shards, decays, applies and gathers.

    Tensors are stacks `(n, *shape)` of n parameters that know nothing of each other: reduce over
    trailing dimensions only, because any rank may hold any part of the stack.
    """

    lr: float
    weight_decay: float

    def init(self, p: Tensor) -> dict[str, Tensor]:
        """State for a stack `p`; every tensor's first dimension is n."""
        ...

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        """The step before the learning rate, `(n, *shape)`; updates `state` in place.

        `dials["step"]` is the 1-based number of this update, for bias corrections; `dials["rows"]` (n,) int64 are
        the numbers of these parameters in their group, whichever rank holds them, for `uniform`.
        """
        ...


class DecayRule(Protocol):
    """How weights shrink."""

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        """What to subtract from `p` (n, *shape) besides lr x update; `lr`, `weight_decay` broadcast.

        `dials` are those that `UpdateRule.direction` gets.
        """
        ...
