"""Let each layer make only a share of the change it would make.

Suggested settings: the default, to begin with.
When it hurts / conflicts: nothing known.
Source: name the paper your idea comes from; replace this card by yours.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from torch import Tensor, nn

from coregpt.api import Context, Plugin, Share, Site, hookimpl


class Damped(nn.Module):
    """x <- x + share (block(x) - x)."""

    def __init__(self, inner: nn.Module, share: float):
        super().__init__()
        self.inner, self.share = inner, share

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return x + self.share * (self.inner(x, ctx) - x)


class Draft(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"share": 1.0}

    share: Share = 0.7
    """How much of its change a layer makes."""

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, Any, nn.Module]:
        inner = yield
        return inner if self.share == 1 else Damped(inner, self.share)
