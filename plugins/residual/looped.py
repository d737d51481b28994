"""Pass a few blocks several times instead of many blocks once: the depth of the model with a share of its weights.

Of `depth` layers only the first n = depth / loops exist; the stream goes through them `loops` times, so that a token
costs the same and the parameters of the blocks are one `loops`-th. With `inject`, what entered the first block is added
again before every further loop: x <- x + x_0.

Suggested settings: 2 or 3 loops; compare at equal tokens (and so equal FLOPs) as well as at equal parameters.
When it hurts / conflicts: fewer parameters learn less by heart. What treats layers differently by number (windows,
value embeddings) sees n layers; skips between the halves of the model have no second half to go to.
Source: Dehghani et al. 2019 (universal transformer), arXiv:1807.03819; Yang et al. 2024 (input injection),
arXiv:2311.12424; Saunshi et al. 2025, arXiv:2502.17416.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl


class Looped(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"loops": 1}
    conflicts: ClassVar[tuple[str, ...]] = ("unet_skips",)

    loops: PositiveInt = 2
    """How often the stream goes through the blocks; must divide the depth."""
    inject: bool = False
    """Add the first block's first input again before every further loop."""

    @hookimpl
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> nn.Module:
        depth = at.shape.depth
        if depth % self.loops:
            raise PluginError(f"looped: model.depth ({depth}) is not a multiple of loops ({self.loops})")
        return Loop([block(layer) for layer in range(depth // self.loops)], self.loops, self.inject)


class Loop(nn.Module):
    """`(x, ctx) -> x` through the same blocks, `loops` times."""

    def __init__(self, blocks: list[nn.Module], loops: int, inject: bool):
        super().__init__()
        self.blocks, self.loops, self.inject = nn.ModuleList(blocks), loops, inject

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        first = x
        for loop in range(self.loops):
            if loop and self.inject:
                x = x + first
            for block in self.blocks:
                x = block(x, ctx)
        return x
