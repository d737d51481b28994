"""Connect the first half of the layers to the second half, as in a U-net.

With L layers and n = L // 2, block i < n leaves its output behind; before each of the last n blocks the most recent
output left is taken back (last in, first out) and added: x <- x + w_i * output_i, w learned, one number per
connection. So block L - 1 - i reads block i; with odd L the middle block takes no part. The weights w are not decayed.

Suggested settings: init 1 as published; a higher learning rate was found to go with it.
When it hurts / conflicts: sums leave the unit sphere, so not with nGPT.
Source: modded-nanogpt record 11.
"""

from collections.abc import Generator
from typing import ClassVar

from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, Site, hookimpl


class UnetSkips(Plugin):
    """Wraps blocks; adds one scalar per connection."""

    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)

    init: float = 1.0
    """Initial weight of every connection."""

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        depth, layer = at.shape.depth, at.layer
        if layer is None or 2 * layer + 1 == depth:
            return block
        return Leave(block, layer) if 2 * layer < depth else TakeBack(block, depth - 1 - layer, at, self.init)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(weight_decay=0.0) if param.path.endswith(".unet_skip") else None


class Leave(nn.Module):
    """A block of the first half."""

    def __init__(self, block: nn.Module, layer: int):
        super().__init__()
        self.block, self.layer = block, layer

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        x = ctx.saved["unet_skips", self.layer] = self.block(x, ctx)
        return x


class TakeBack(nn.Module):
    """A block of the second half, which reads what block `source` left."""

    def __init__(self, block: nn.Module, source: int, at: Site, init: float):
        super().__init__()
        self.block, self.source = block, source
        self.weight = at.scale("unet_skip", (), init)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.block(x + self.weight * ctx.saved.pop(("unet_skips", self.source)), ctx)
        return y
