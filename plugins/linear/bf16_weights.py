"""Compute with weights of 16 bits, and keep the other 16 bits of each where only the optimizer sees them.

The matrices of blocks act as bf16: of a weight's 32 bits the model has the upper 16, cut off and not rounded; updates
go to all 32. So a step smaller than a bf16 weight can show is not lost, it adds up. Gradients reach the weights as
they are.

With `master: false` there is nothing but the 16 bits: after every step weights are rounded to the nearest of them, and
steps below 1/256 of a weight are lost.

Suggested settings: the default (medium track's record 7, short track's record 57).
When it hurts / conflicts: no memory is saved here, this is what it does to the numbers; evaluation has the cut weights
too. With norms on weights (nGPT) cut rows are a little shorter than one.
Source: modded-nanogpt record 57 and its medium track's record 7.
"""

from collections.abc import Generator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from coregpt_plugins._shared.inside import replaced
from torch import Tensor, nn

from coregpt.api import Clock, Companion, Linear, Plugin, RunView, Site, hookimpl

UPPER = -65536
"""The upper 16 of 32 bits, as a signed number."""


class Bf16Weights(Plugin):
    """Wraps linear maps of blocks."""

    after: ClassVar[tuple[str, ...]] = ("fp8",)

    master: bool = True
    """Keep all bits for the optimizer."""

    @hookimpl(wrapper=True)
    def make_linear(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        if at.role != "matrix":
            return inner
        return replaced(inner, lambda part: type(part) is Linear, InUpperBits) or inner

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return None if self.master or run.model is None else Rounded(run)


class InUpperBits(nn.Module):
    """The linear map `inner`, its weight cut to bf16."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    @property
    def weight(self) -> Tensor:
        """What acts, for whoever multiplies in its own way."""
        cut: Tensor = Cut.apply(self.inner.weight)  # type: ignore[no-untyped-call]
        return cut

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class Cut(torch.autograd.Function):
    """A weight without its lower 16 bits, in its own dtype; the gradient passes."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return (weight.float().view(torch.int32) & UPPER).view(torch.float32).to(weight.dtype)

    @staticmethod
    def backward(ctx: Any, *ups: Tensor) -> Tensor:
        return ups[0]


class Rounded(Companion):
    """Leaves no more than 16 bits of every weight that is computed with so."""

    def __init__(self, run: RunView):
        assert run.model is not None
        found = [part for part in run.model.modules() if isinstance(part, InUpperBits)]
        self.weights: list[Any] = [part.inner.weight for part in found]
        self.after_update(Clock(0, 1))

    @torch.no_grad()
    def after_update(self, clock: Clock) -> None:
        for weight in self.weights:
            weight.copy_(weight.bfloat16())
