"""Mix the first layer's values into the values of every later layer.

    v_l <- (1 - share_l) v_l + share_l v_0        l >= 1, share_l a learned number of the layer

v_0 are the values of the first layer that has attention, before it attends. share starts at 0.5 and does not decay.

Suggested settings: 0.5 at first, an Adam rate of 0.02 to 0.04 for the numbers (record 9). The paper has constants.
When it hurts / conflicts: value embeddings are a second source of values in the same place; records have one or the
other. Routed blocks see some tokens only. Values of all layers must have one width.
Source: Zhou et al. 2024, arXiv:2410.17897; modded-nanogpt record 9.
"""

from collections.abc import Generator
from typing import ClassVar

from pydantic import NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import Context, Heads, ParamInfo, ParamRule, Plugin, Share, Site, hookimpl

FIRST = "value_residual"


class ValueResidual(Plugin):
    """Wraps softmax attention; adds one scalar to each layer but the first."""

    conflicts: ClassVar[tuple[str, ...]] = ("mixture_of_depths", "value_embeddings")

    init: Share = 0.5
    """share at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of the shares."""

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        source = at.shared(FIRST, lambda site: Source(at.path))
        return Leaving(inner) if source.path == at.path else Mixing(at, inner, self.init)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(lr=self.lr, weight_decay=0.0) if param.path.endswith(".value_residual") else None


class Source(nn.Module):
    """Says where the first attention is. A model whose first layers have none begins later."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path


class Leaving(nn.Module):
    """Attention `inner`, which leaves its v (B, T, Hk, Dv) to later layers."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        ctx.saved[FIRST] = v
        y: Tensor = self.inner(q, k, v, x, ctx)
        return y


class Mixing(nn.Module):
    """Attention `inner` on v (B, T, Hk, Dv) mixed with the first layer's."""

    def __init__(self, at: Site, inner: nn.Module, init: float):
        super().__init__()
        self.inner = inner
        self.share = at.scale("value_residual", (), init)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        mixed = v.lerp(ctx.saved[FIRST].to(v.dtype), self.share.to(v.dtype))
        y: Tensor = self.inner(q, k, mixed, x, ctx)
        return y
