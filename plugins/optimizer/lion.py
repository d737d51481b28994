"""Step by the sign of an interpolation between gradient and momentum: every weight moves by lr, whatever its gradient.

    U = sign(beta1 M + (1 - beta1) G)
    M <- beta2 M + (1 - beta2) G            after the step; zero at first
    W <- W (1 - lr wd) - lr U

Suggested settings: lr a third to a tenth of AdamW's and weight decay three to ten times AdamW's, so that their product
stays; betas 0.95 and 0.98 for language models, 0.9 and 0.99 otherwise.
When it hurts / conflicts: another rule for the same parameters: with Muon name the others' roles. Small batches, whose
signs are noise. One state per weight, half of Adam's.
Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2 and section 4.
"""

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, Role, UpdateRule, hookimpl


class Lion(Plugin):
    """Claims the updates of every parameter, or of some roles."""

    rounding_sensitive: ClassVar[str] = "the sign of a number near zero turns with its last bit"

    lr: PositiveFloat = 3e-4
    """Peak learning rate; the `lr` schedule multiplies it."""
    beta1: float = Field(default=0.95, ge=0, le=1)
    """How much of the momentum is in a step."""
    beta2: float = Field(default=0.98, ge=0, lt=1)
    """Decay of the momentum."""
    weight_decay: NonNegativeFloat = 1.0
    """Instead of `optim.weight_decay`."""
    roles: tuple[Role, ...] = ("matrix", "embedding", "head", "table", "gate", "scalar")
    """Which parameters it moves."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return Signed(self) if group.role in self.roles else None


class Signed:
    """The update rule; state M."""

    def __init__(self, options: Lion):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {"m": p.new_zeros(p.shape)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        m = state["m"]
        update = m.lerp(g, 1 - self.options.beta1).sign()
        m.lerp_(g, 1 - self.options.beta2)
        return update
