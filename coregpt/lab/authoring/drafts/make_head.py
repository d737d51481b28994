"""Add a learned bias per token to the logits.

Suggested settings: the default.
When it hurts / conflicts: nothing known.
Source: name the paper your idea comes from; replace this card by yours.
"""

from collections.abc import Generator
from typing import Any

from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class Biased(nn.Module):
    """logits <- head(x) + b, b (V,): how often a token comes, whatever came before."""

    def __init__(self, at: Site, inner: nn.Module, start: float):
        super().__init__()
        self.inner = inner
        self.bias = at.scale("bias", (at.shape.vocab,), start)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.bias


class Draft(Plugin):
    start: float = 0.0
    """Every bias at first."""

    @hookimpl(wrapper=True)
    def make_head(self, at: Site) -> Generator[None, Any, nn.Module]:
        return Biased(at, (yield), self.start)
