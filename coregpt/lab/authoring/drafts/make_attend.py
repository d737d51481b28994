"""Scale each head's output by a gain of its own, learned.

Suggested settings: the default.
When it hurts / conflicts: nothing known.
Source: name the paper your idea comes from; replace this card by yours.
"""

from collections.abc import Generator
from typing import Any

from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, Site, hookimpl


class Gained(nn.Module):
    """y_h <- gain_h y_h for the heads y (B, T, H, D)."""

    def __init__(self, at: Site, heads: Heads, inner: nn.Module, start: float):
        super().__init__()
        self.inner = inner
        self.gain = at.scale("gain", (heads.query, 1), start)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        return self.inner(q, k, v, x, ctx) * self.gain


class Draft(Plugin):
    start: float = 1.0
    """Every gain at first."""

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, Any, nn.Module]:
        return Gained(at, heads, (yield), self.start)
