"""Normalise every head's values before attention mixes them.

Each v (width Dv of one head) becomes v / rms(v), without gain, so that its length is sqrt(Dv) whatever the projection
does. Computed in fp32. Values from tables or of other layers are mixed in afterwards.

Suggested settings: none to set; with `qk_norm`, which is where its name in the source, QKV norm, comes from.
When it hurts / conflicts: a head can no longer say little by small values. The record that had it dropped it later.
Source: modded-nanogpt, medium track, records 6 to 10 and 17.
"""

from collections.abc import Generator
from typing import ClassVar

from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, RMSNorm, hookimpl


class VNorm(Plugin):
    """Wraps attention; no parameters."""

    after: ClassVar[tuple[str, ...]] = ("value_embeddings", "value_residual")

    @hookimpl(wrapper=True)
    def make_attend(self, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        return NormedValues((yield), heads.value_width)


class NormedValues(nn.Module):
    """Attention `inner` on values (B, S, Hk, Dv) of one length."""

    def __init__(self, inner: nn.Module, width: int):
        super().__init__()
        self.inner, self.norm = inner, RMSNorm(width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q, k, self.norm(v.float()).to(v.dtype), x, ctx)
        return y
