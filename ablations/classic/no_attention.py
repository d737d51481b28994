"""Leave out the attention of one layer: what is left of it is its MLP.

Suggested settings: the default, which is the eighth of twelve layers, as in modded-nanogpt.
When it hurts / conflicts: techniques that watch or share attention by layer see one layer less.
Source: modded-nanogpt record 11 and after.
"""

import torch
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Share, Site, hookimpl


class Nothing(nn.Module):
    """(B, T, dim) -> zeros: the residual stream passes."""

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return torch.zeros_like(x)


class NoAttention(Plugin):
    at: Share = 0.6
    """How deep the layer lies: 0 is the first one; of 12 layers 0.6 is the one that is counted 7 from 0."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module | None:
        layer = min(int(self.at * at.shape.depth), at.shape.depth - 1)
        return Nothing() if at.layer == layer else None
