"""Remind every block of the embedding: a share of the first stream is added to what a block reads.

Suggested settings: the default.
When it hurts / conflicts: whatever else decides which blocks there are.
Source: name the paper your idea comes from; replace this card by yours.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from coregpt.api import Context, Plugin, Share, Site, hookimpl


class Reminded(nn.Module):
    """x <- block(x + share x_0), block after block."""

    def __init__(self, blocks: list[nn.Module], share: float):
        super().__init__()
        self.blocks, self.share = nn.ModuleList(blocks), share

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        first = x
        for block in self.blocks:
            x = block(x + self.share * first, ctx)
        return x


class Draft(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"share": 0.0}

    share: Share = 0.2
    """Of the first stream, added before every block."""

    @hookimpl
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> nn.Module:
        return Reminded([block(layer) for layer in range(at.shape.depth)], self.share)
