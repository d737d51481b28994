"""Correct each gradient by its change since the last one, and run Adam on that (MARS-AdamW).

    C = G_t + gamma beta1 / (1 - beta1) (G_t - G_{t-1})         in the first step C = G
    C <- C / max(1, |C|)                                        the norm of each parameter by itself
    m <- beta1 m + (1 - beta1) C        v <- beta2 v + (1 - beta2) C^2
    U = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

G_{t-1} is the last step's own gradient. (The exact form takes it again, at the old weights on the new batch.)

Suggested settings: betas 0.95 and 0.99, gamma 0.025; two-dimensional weights at 6e-3, twice AdamW's best or more, and
the rest with AdamW.
When it hurts / conflicts: another rule for the same parameters. Gradients that are noise change most, so small batches
are made noisier. Core clips all gradients together before, and what has been clipped is what is compared. One more
state per weight.
Source: Yuan et al. 2024, arXiv:2411.10438, algorithm 3 with its approximation.
"""

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, Role, UpdateRule, hookimpl


class Mars(Plugin):
    """Claims the updates of matrices, tables, embedding and head, or of other roles."""

    lr: PositiveFloat = 6e-3
    """Peak learning rate; the `lr` schedule multiplies it."""
    beta1: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the second moment."""
    gamma: NonNegativeFloat = 0.025
    """How much of the change counts; 0 is Adam with a clip per parameter."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the second moment."""
    weight_decay: NonNegativeFloat = 0.01
    """Instead of `optim.weight_decay`."""
    roles: tuple[Role, ...] = ("matrix", "embedding", "head", "table", "gate")
    """Which parameters it moves."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return Corrected(self) if group.role in self.roles else None


class Corrected:
    """The update rule; state m, v and the last gradient."""

    def __init__(self, options: Mars):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {name: p.new_zeros(p.shape) for name in ("m", "v", "last")}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        o, step = self.options, int(dials["step"])
        m, v, last = (state[name] for name in ("m", "v", "last"))
        weight = 0.0 if step == 1 else o.gamma * o.beta1 / (1 - o.beta1)
        corrected = g + weight * (g - last)
        last.copy_(g)
        size = corrected.square().sum(tuple(range(1, g.dim())), keepdim=True).sqrt()
        corrected = corrected / size.clamp(min=1.0)
        m.lerp_(corrected, 1 - o.beta1)
        v.lerp_(corrected.square(), 1 - o.beta2)
        return (m / (1 - o.beta1**step)) / ((v / (1 - o.beta2**step)).sqrt() + o.eps)
