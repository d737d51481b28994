"""Give every layer the embedding again.

Before each block

    x <- keep x + share x_0,     x_0 = rms(what entered the first block)

with two learned numbers per layer, which start at 1 and 0, so that training starts as without it. They do not decay.

Suggested settings: with `norm_after_embed`, so that the first x is x_0 itself, and an Adam rate of 0.02 to 0.04 for the
numbers (record 9), 20 times that of the matrices or more.
When it hurts / conflicts: sums leave the unit sphere, so not with nGPT. Routed blocks see some tokens only.
Source: modded-nanogpt record 9.
"""

from collections.abc import Callable, Generator
from typing import ClassVar

from coregpt_plugins._shared.stream import Before, like
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, RMSNorm, Site, hookimpl

FIRST = "embed_skip_x0"


class EmbedSkipX0(Plugin):
    """Wraps blocks; adds two scalars to each."""

    conflicts: ClassVar[tuple[str, ...]] = ("mixture_of_depths", "ngpt")

    keep: float = 1.0
    """Share of the stream at first."""
    share: float = 0.0
    """Share of the embedding at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of both."""

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        stack, norm = (yield), RMSNorm(at.shape.dim)
        return Before(stack, FIRST, lambda x, ctx: norm(x))

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        return block if at.layer is None else Mixed(at.child("embed_skip_x0"), block, self)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(lr=self.lr, weight_decay=0.0) if ".embed_skip_x0." in param.path else None


class Mixed(nn.Module):
    """A block that reads the stream mixed with x_0."""

    def __init__(self, at: Site, block: nn.Module, options: EmbedSkipX0):
        super().__init__()
        self.block = block
        self.keep, self.share = at.scale("keep", (), options.keep), at.scale("share", (), options.share)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.block(self.keep * x + self.share * like(ctx.saved[FIRST], x), ctx)
        return y
