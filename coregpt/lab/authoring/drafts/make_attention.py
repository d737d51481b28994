"""Multiply the output of attention by a gate that reads attention's input.

Suggested settings: the default; the gate starts at one.
When it hurts / conflicts: nothing known.
Source: name the paper your idea comes from; replace this card by yours.
"""

from collections.abc import Generator
from typing import Any

from pydantic import NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class Gated(nn.Module):
    """y <- 2 sigmoid(W x) y, channel by channel."""

    def __init__(self, at: Site, inner: nn.Module, std: float):
        super().__init__()
        self.inner = inner
        self.gate = at.linear("gate", at.shape.dim, at.shape.dim, role="gate", std=std)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return self.inner(x, ctx) * (2 * self.gate(x).sigmoid())


class Draft(Plugin):
    std: NonNegativeFloat = 0.0
    """Standard deviation of the gate's weights at first; 0 opens every gate to exactly one."""

    @hookimpl(wrapper=True)
    def make_attention(self, at: Site) -> Generator[None, Any, nn.Module]:
        return Gated(at, (yield), self.std)
