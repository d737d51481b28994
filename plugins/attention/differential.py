"""Subtract a second attention map from the first, so that what both see as noise cancels.

Heads come in pairs: with the two softmax maps A_1 and A_2 of a pair and its values V (T, 2 D),

    y = (1 - start) rms((A_1 - lambda A_2) V) gain,     lambda = exp(a . b) - exp(c . d) + start

a, b, c, d (D) are learned vectors of the layer, N(0, 0.1^2) at first; `start` = 0.8 - 0.6 exp(-0.3 layer), layers
counted from 0; gain (2 D) starts at 1 and is the same for all pairs. Parameters and FLOPs of the projections are those
of plain attention.

Suggested settings: none to set; an even number of heads.
When it hurts / conflicts: attention itself costs half as much again, since every map meets values of twice the width.
Whatever else makes the attention clashes.
Source: Ye et al. 2024, arXiv:2410.05258.
"""

import math

import torch
from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, PluginError, RMSNorm, Site, hookimpl


class Differential(Plugin):
    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        if at.shape.heads % 2:
            raise PluginError(f"differential: heads come in pairs, but model.heads is {at.shape.heads}")
        return DifferentialAttention(at)


class DifferentialAttention(nn.Module):
    """`(x, ctx) -> y`; heads 2 i and 2 i + 1 are pair i."""

    def __init__(self, at: Site):
        super().__init__()
        shape, width = at.shape, at.shape.head_dim
        self.heads = shape.heads
        self.start = 0.8 - 0.6 * math.exp(-0.3 * (at.layer or 0))
        self.q = at.linear("q", shape.dim, shape.dim)
        self.k = at.linear("k", shape.dim, shape.dim)
        self.v = at.linear("v", shape.dim, shape.dim)
        names = ("lambda_a", "lambda_b", "lambda_c", "lambda_d")
        self.lambdas = nn.ParameterList(at.weight(name, (width,), "scalar", 0.1) for name in names)
        self.norm, self.gain = RMSNorm(2 * width), at.scale("gain", (2 * width,), 1.0)
        self.position = at.position(width)
        self.attend = at.part("attend", heads=Heads(self.heads, self.heads, width, 2 * width))
        self.out = at.linear("out", shape.dim, shape.dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        q, k = (part(x).unflatten(-1, (self.heads, -1)) for part in (self.q, self.k))
        v = self.v(x).unflatten(-1, (self.heads // 2, -1))
        q, k = self.position(q, k, ctx)
        maps = self.attend(q, k, v.repeat_interleave(2, -2), x, ctx).unflatten(-2, (-1, 2))  # (B, T, pairs, 2, 2 D)
        a, b, c, d = self.lambdas
        factor = torch.exp((a * b).sum()) - torch.exp((c * d).sum()) + self.start
        y = maps[..., 0, :] - factor * maps[..., 1, :]
        out: Tensor = self.out(((1 - self.start) * self.gain * self.norm(y)).flatten(-2))
        return out
