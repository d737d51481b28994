"""Pass each block several times before the next one: blocks side by side share their weights.

Of `depth` layers only n = depth / times exist; layer l is block l // times. A token costs the same, and the parameters
of the blocks are one `times`-th. (`looped` goes through all n blocks and then begins again.)

Suggested settings: 2; compare at equal tokens (and so equal FLOPs) as well as at equal parameters.
When it hurts / conflicts: fewer parameters learn less by heart. What treats layers differently by number (windows,
value embeddings) sees n layers; skips between the halves of the model have no second half to go to.
Source: Liu et al. 2024 (MobileLLM, block-wise sharing), arXiv:2402.14905; Lan et al. 2019 (ALBERT), arXiv:1909.11942.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl


class LayerSharing(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"times": 1}
    conflicts: ClassVar[tuple[str, ...]] = ("backout", "late_attn_single_source", "skip_pattern", "unet_skips")

    times: PositiveInt = 2
    """How often each block is passed; must divide the depth."""

    @hookimpl
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> nn.Module:
        depth = at.shape.depth
        if depth % self.times:
            raise PluginError(f"layer_sharing: model.depth ({depth}) is not a multiple of times ({self.times})")
        return Repeated([block(layer) for layer in range(depth // self.times)], self.times)


class Repeated(nn.Module):
    """`(x, ctx) -> x` through all blocks, `times` times through each."""

    def __init__(self, blocks: list[nn.Module], times: int):
        super().__init__()
        self.blocks, self.times = nn.ModuleList(blocks), times

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        for block in self.blocks:
            for _ in range(self.times):
                x = block(x, ctx)
        return x
