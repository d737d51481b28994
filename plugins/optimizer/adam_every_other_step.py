"""Move everything but matrices in every second step only, along the sum of two steps' gradients.

With s the step from 0 and G its gradients (clipped as ever):

    even s:  keep G; neither an update nor a decay
    odd s:   one update along G_{s-1} + G_s, with the learning rate and the decay of step s

The rule inside, AdamW if nothing else is asked for, sees one step a pair: moments and bias corrections advance once.

Suggested settings: with Muon for the matrices; learning rates and betas as without it, or betas for half the steps.
When it hurts / conflicts: gradients are clipped step by step, so a clip that bites acts on each of the two. An odd
number of steps leaves the last gradient unused. `tie_then_untie` should part after an even number of steps.
Source: modded-nanogpt record 39.
"""

from collections.abc import Generator
from typing import ClassVar

import torch
from torch import Tensor

from coregpt.api import DecayRule, Dials, ParamGroup, Plugin, UpdateRule, hookimpl


class AdamEveryOtherStep(Plugin):
    """Wraps update and decay of everything but matrices."""

    after: ClassVar[tuple[str, ...]] = ("cautious_adam", "cautious_wd", "radial_brake", "wd_schedule")

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return rule if group.role == "matrix" else InPairs(rule)

    @hookimpl(wrapper=True)
    def make_decay(self, group: ParamGroup) -> Generator[None, DecayRule, DecayRule]:
        rule = yield
        return rule if group.role == "matrix" else DecayInPairs(rule)


def waits(dials: Dials) -> bool:
    """Whether this is the first step of a pair."""
    return int(dials["step"]) % 2 == 1  # numbered from 1


class InPairs:
    """The update rule `inner` in every second step; state: inner's and the gradient that waits."""

    def __init__(self, inner: UpdateRule):
        self.inner, self.lr, self.weight_decay = inner, inner.lr, inner.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {**self.inner.init(p), "waiting": p.new_zeros(p.shape)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        waiting = state["waiting"]
        if waits(dials):
            waiting.copy_(g)
            return torch.zeros_like(g)
        return self.inner.direction(p, waiting + g, state, {**dials, "step": int(dials["step"]) // 2})


class DecayInPairs:
    """The decay rule `inner` in every second step."""

    def __init__(self, inner: DecayRule):
        self.inner = inner

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        if waits(dials):
            return torch.zeros_like(p)
        return self.inner.amount(p, update, lr, weight_decay, {**dials, "step": int(dials["step"]) // 2})
