"""Let groups of query heads share one head of keys and values.

With H query heads and `kv_heads` key heads, query head h reads key and value head h // (H / kv_heads). Projections of
k and v, and what a cache of them holds, shrink by H / kv_heads. `kv_heads: 1` is multi-query attention.

Suggested settings: an eighth to a quarter of the heads.
When it hurts / conflicts: some loss for fewer parameters: compare at equal parameters too. Anything else that makes
the attention clashes.
Source: Ainslie et al. 2023, arXiv:2305.13245; Shazeer 2019, arXiv:1911.02150 (one key head).
"""

from pydantic import PositiveInt
from torch import nn

from coregpt.api import Attention, Plugin, PluginError, Site, hookimpl


class Gqa(Plugin):
    kv_heads: PositiveInt | None = None
    """Heads of keys and values; divides the model's heads. Empty: a quarter of them where that is whole, else 1."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        heads = at.shape.heads
        shared = self.kv_heads or (1 if heads % 4 else heads // 4)
        if heads % shared:
            raise PluginError(f"gqa: kv_heads ({shared}) must divide model.heads ({heads})")
        return Attention(at, kv_heads=shared)
