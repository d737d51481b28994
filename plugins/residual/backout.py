"""Take back from the last vectors a share of what the stream held earlier.

With h the output of block `layer`, before the final norm

    x <- x - share h

share is one learned number, 0.5 at first; it does not decay. Early layers may then write for later ones what the
prediction itself should not contain.

Suggested settings: the defaults: 0.5, about two thirds of the way (layer 8 of 12, 11 of 16).
When it hurts / conflicts: sums leave the unit sphere, so not with nGPT. Loops pass a layer several times, and routed
blocks see some tokens only. Record 81 and later have it as one coefficient of MUDD.
Source: modded-nanogpt record 40.
"""

from collections.abc import Callable, Generator
from typing import ClassVar

from coregpt_plugins._shared.stream import Behind
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl

KEY = "backout"


class Backout(Plugin):
    """Wraps one block and the stack; adds one scalar."""

    conflicts: ClassVar[tuple[str, ...]] = ("looped", "mixture_of_depths", "ngpt")

    layer: NonNegativeInt | None = None
    """Whose output is taken back. Empty: round(2 L / 3), but not the last."""
    init: float = 0.5
    """share at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of share."""

    def source(self, depth: int) -> int:
        if depth < 2:
            raise PluginError(f"backout: needs at least 2 layers, got {depth}")
        if self.layer is not None and self.layer >= depth:
            raise PluginError(f"backout: layer {self.layer} of a model with {depth} layers")
        return min(round(2 * depth / 3), depth - 2) if self.layer is None else self.layer

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        return Behind(block, KEY) if at.layer == self.source(at.shape.depth) else block

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        return BackedOut(at, (yield), self.init)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(lr=self.lr, weight_decay=0.0) if param.path == "stack.backout" else None


class BackedOut(nn.Module):
    """The stack, less a share of what one block left."""

    def __init__(self, at: Site, inner: nn.Module, init: float):
        super().__init__()
        self.inner = inner
        self.share = at.scale("backout", (), init)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(x, ctx)
        return y - self.share * ctx.saved.pop(KEY)
