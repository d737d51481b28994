"""Momentum whose steps all have one size: the average gradient of a matrix over its root mean square.

Suggested settings: the default; the learning rate is about AdamW's.
When it hurts / conflicts: another rule for matrices.
Source: name the paper your idea comes from; replace this card by yours.
"""

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, UpdateRule, hookimpl


class Normalised:
    """m <- b m + (1 - b) g; direction = m / rms(m). Tensors are stacks (n, *shape) of n independent parameters."""

    def __init__(self, lr: float, weight_decay: float, momentum: float):
        self.lr, self.weight_decay, self.momentum = lr, weight_decay, momentum

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {"m": p.new_zeros(p.shape)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        m = state["m"].lerp_(g, 1 - self.momentum)
        size = m.square().mean(dim=tuple(range(1, m.dim())), keepdim=True).sqrt()
        return m / (size + 1e-12)


class Draft(Plugin):
    lr: PositiveFloat = 0.002
    """Peak learning rate of matrices; the `lr` schedule multiplies it."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Share of the average that stays each step."""
    weight_decay: NonNegativeFloat = 0.1
    """Of matrices, instead of `optim.weight_decay`."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return Normalised(self.lr, self.weight_decay, self.momentum) if group.role == "matrix" else None
