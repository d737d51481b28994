"""Let the stream grow or shrink by a learned factor at every step, so that later layers count more, or less.

    x <- keep x + share branch(x)

keep and share are one number each per branch. With `sublayer` every branch has both, keep sqrt(growth) at first; with
`layer` the attention alone has keep, `growth` at first. share starts at 1. The final norm takes the length away again:
what layer i wrote counts growth^(L - 1 - i) against the last, "exponential decay of the residual stream". Neither
decays by weight decay.

Suggested settings: sublayer, growth 1.1 for 11 layers, 1.05 for 16; lr 5 for keep and 1 for share on top of a small
Adam rate, betas (0.9, 0.95) for both (record 74 and later). Records 45 to 73 have `layer` and no share (share_lr 0).
When it hurts / conflicts: sums leave the unit sphere, so not with nGPT.
Source: modded-nanogpt records 45 and 74.
"""

import math
from collections.abc import Generator
from typing import Any, ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, Site, hookimpl


class ResidualDecay(Plugin):
    """Wraps connections; adds one or two scalars to each."""

    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)

    growth: PositiveFloat = 1.1
    """Factor of a whole layer at first; 1 starts as the plain model."""
    per: Literal["sublayer", "layer"] = "sublayer"
    """Whether the stream is scaled at each branch, or once in a layer."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of keep."""
    share_lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of share."""

    @hookimpl(wrapper=True)
    def make_connection(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        own = at.child("residual_decay")
        share = own.scale("share", (), 1.0)
        if self.per == "sublayer":
            return Decaying(inner, own.scale("keep", (), math.sqrt(self.growth)), share)
        return Decaying(inner, own.scale("keep", (), self.growth) if ".attention." in at.path else None, share)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if ".residual_decay." not in param.path:
            return None
        return ParamRule(lr=self.lr if param.path.endswith(".keep") else self.share_lr, weight_decay=0.0)


class Decaying(nn.Module):
    """The connection `inner`, which writes share y to keep x."""

    def __init__(self, inner: nn.Module, keep: nn.Parameter | None, share: nn.Parameter):
        super().__init__()
        self.inner: Any = inner
        self.keep, self.share = keep, share

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        found: Tensor = self.inner.read(x, ctx)
        return found

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        kept = x if self.keep is None else self.keep * x
        written: Tensor = self.inner.write(kept, self.share * y, ctx)
        return written
