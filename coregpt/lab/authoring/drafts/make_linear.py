"""Add a learned bias to the projections of queries, keys and values.

Suggested settings: the default.
When it hurts / conflicts: nothing known.
Source: Yang et al. 2024, arXiv:2407.10671 (Qwen2); replace this card by yours.
"""

from collections.abc import Generator
from typing import Any

from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class Biased(nn.Module):
    """y <- W x + b."""

    def __init__(self, at: Site, d_out: int, inner: nn.Module, start: float):
        super().__init__()
        self.inner = inner
        self.bias = at.scale("bias", (d_out,), start)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y + self.bias.to(y.dtype)


class Draft(Plugin):
    at_maps: tuple[str, ...] = ("q", "k", "v")
    """Names of the linear maps that get one: the last part of their place in the model."""
    start: float = 0.0
    """Every bias at first."""

    @hookimpl(wrapper=True)
    def make_linear(self, at: Site, d_in: int, d_out: int) -> Generator[None, Any, nn.Module]:
        inner = yield
        return Biased(at, d_out, inner, self.start) if at.name in self.at_maps else inner
