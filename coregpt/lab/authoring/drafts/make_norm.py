"""Give every norm a learned gain per channel.

Suggested settings: the default.
When it hurts / conflicts: another norm at the same place.
Source: Zhang & Sennrich 2019, arXiv:1910.07467; replace this card by yours.
"""

from collections.abc import Generator
from typing import Any

from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class Gained(nn.Module):
    """x <- gain * norm(x) over the last dimension."""

    def __init__(self, at: Site, dim: int, inner: nn.Module, start: float):
        super().__init__()
        self.inner = inner
        self.gain = at.scale("gain", (dim,), start)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.gain


class Draft(Plugin):
    start: float = 1.0
    """Every gain at first."""

    @hookimpl(wrapper=True)
    def make_norm(self, at: Site, dim: int) -> Generator[None, Any, nn.Module]:
        inner = yield
        # Core leaves `post` and `entry_norm` empty; a gain there would be another idea.
        return inner if at.name in ("post", "entry_norm") else Gained(at, dim, inner, self.start)
