"""Add to Adam's momentum a second one that remembers gradients for thousands of steps.

    m1 <- beta1 m1 + (1 - beta1) G      m2 <- beta3_t m2 + (1 - beta3_t) G      v <- beta2 v + (1 - beta2) G^2
    U = (m1 / (1 - beta1^t) + alpha_t m2) / (sqrt(v / (1 - beta2^t)) + eps)

with t from 1 and T the length of the ramps in steps:

    alpha_t = min(t alpha / T, alpha)
    beta3_t = min(exp(a b / ((1 - t / T) b + (t / T) a)), beta3)    a = log beta1, b = log beta3

so that the slow memory's half-life grows linearly.

Suggested settings: beta3 0.9999 and alpha 8 over runs of 256,000 steps, ramps as long as the run; with few steps a
smaller beta3 (0.999), so that its memory fits in the run.
When it hurts / conflicts: another rule for the same parameters: with Muon name the others' roles. One more state per
weight. With a short run most of the slow memory is never filled.
Source: Pagliardini et al. 2024, arXiv:2409.03137, algorithm 1 and its appendix on schedulers.
"""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from coregpt.api import Clock, Dials, ParamGroup, Plugin, Role, Schedule, UpdateRule, hookimpl

ALPHA, BETA3 = "ademamix.alpha", "ademamix.beta3"


class Ademamix(Plugin):
    """Claims the updates of every parameter, or of some roles; adds two dials."""

    lr: PositiveFloat = 2e-3
    """Peak learning rate; the `lr` schedule multiplies it."""
    beta1: float = Field(default=0.9, gt=0, lt=1)
    """Decay of the fast momentum."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the second moment."""
    beta3: float = Field(default=0.9999, gt=0, lt=1)
    """Decay of the slow momentum after its ramp."""
    alpha: NonNegativeFloat = 8.0
    """How much of the slow momentum is in a step after its ramp."""
    ramp: NonNegativeFloat = 1.0
    """T, as a share of the run; 0 for none."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the second moment."""
    weight_decay: NonNegativeFloat = 0.1
    """Instead of `optim.weight_decay`."""
    roles: tuple[Role, ...] = ("matrix", "embedding", "head", "table", "gate", "scalar")
    """Which parameters it moves."""

    @hookimpl
    def add_schedules(self) -> Mapping[str, Schedule]:
        return {ALPHA: self.alpha_at, BETA3: self.beta3_at}

    def passed(self, clock: Clock) -> float:
        """t / T, not above 1."""
        length = self.ramp * clock.steps
        return min(1.0, (clock.step + 1) / length) if length else 1.0

    def alpha_at(self, clock: Clock) -> float:
        """alpha_t of `clock.step`."""
        return self.alpha * self.passed(clock)

    def beta3_at(self, clock: Clock) -> float:
        """beta3_t of `clock.step`."""
        a, b, share = math.log(self.beta1), math.log(self.beta3), self.passed(clock)
        return min(math.exp(a * b / ((1 - share) * b + share * a)), self.beta3)

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return TwoMemories(self) if group.role in self.roles else None


class TwoMemories:
    """The update rule; state m1, m2 and v."""

    def __init__(self, options: Ademamix):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {name: p.new_zeros(p.shape) for name in ("m", "slow", "v")}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        o, step = self.options, int(dials["step"])
        beta3: Any = dials[BETA3]
        m, slow, v = (state[name] for name in ("m", "slow", "v"))
        m.lerp_(g, 1 - o.beta1)
        slow.add_((g - slow) * (1 - beta3))
        v.lerp_(g.square(), 1 - o.beta2)
        ahead = m / (1 - o.beta1**step) + dials[ALPHA] * slow
        return ahead / ((v / (1 - o.beta2**step)).sqrt() + o.eps)
