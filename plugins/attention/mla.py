"""Squeeze keys and values through a narrow latent vector, and keep position in a few dimensions of their own.

With H heads, for attention's input x (dim):

    c_q = rms(x W_dq) (q_rank),      q_h = [W_uq c_q (nope); turned W_qr c_q (rope)]
    c   = rms(x W_dkv) (kv_rank),    k_h = [W_uk c (nope); turned x W_kr (rope, one for all heads)]
                                     v_h = W_uv c (value)

"turned" is whatever gives attention its positions. Scores are divided by sqrt(nope + rope). A cache would hold c and
the one turned key: kv_rank + rope numbers a token instead of 2 x dim.

Suggested settings: kv_rank a quarter of dim, q_rank three quarters, rope half of a head's width.
When it hurts / conflicts: made for cheap caches, not for a lower loss. Whatever else makes the attention clashes.
Source: DeepSeek-AI 2024 (DeepSeek-V2), arXiv:2405.04434, section 2.1.
"""

from typing import Self

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, RMSNorm, Site, hookimpl


class Mla(Plugin):
    kv_rank: PositiveInt | None = None
    """Width of the latent of keys and values. Empty: dim / 4."""
    q_rank: PositiveInt | None = None
    """Width of the latent of queries. Empty: 3 dim / 4."""
    nope: PositiveInt | None = None
    """Width of a head's queries and keys without position. Empty: the plain head's."""
    rope: PositiveInt | None = None
    """Width of those with position, even. Empty: half of the plain head's, made even."""
    value: PositiveInt | None = None
    """Width of a head's values. Empty: the plain head's."""

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.rope is not None and self.rope % 2:
            raise ValueError(f"rope ({self.rope}) must be even: positions turn pairs of dimensions")
        return self

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        return LatentAttention(at, self)


class LatentAttention(nn.Module):
    """`(x, ctx) -> y`."""

    def __init__(self, at: Site, options: Mla):
        super().__init__()
        dim, width, self.heads = at.shape.dim, at.shape.head_dim, at.shape.heads
        kv_rank, q_rank = options.kv_rank or max(1, dim // 4), options.q_rank or max(1, 3 * dim // 4)
        self.nope, value = options.nope or width, options.value or width
        self.rope = options.rope or max(2, width // 4 * 2)
        self.q_down = at.linear("q_down", dim, q_rank)
        self.q_up = at.linear("q_up", q_rank, self.heads * (self.nope + self.rope))
        self.kv_down = at.linear("kv_down", dim, kv_rank)
        self.k_up = at.linear("k_up", kv_rank, self.heads * self.nope)
        self.v_up = at.linear("v_up", kv_rank, self.heads * value)
        self.k_rope = at.linear("k_rope", dim, self.rope)
        self.q_norm, self.kv_norm = RMSNorm(q_rank), RMSNorm(kv_rank)
        self.position = at.position(self.rope, Heads(self.heads, 1, self.rope, value))
        self.attend = at.part("attend", heads=Heads(self.heads, self.heads, self.nope + self.rope, value))
        self.out = at.linear("out", self.heads * value, dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        q = self.q_up(self.q_norm(self.q_down(x))).unflatten(-1, (self.heads, -1))
        c = self.kv_norm(self.kv_down(x))
        k, v = (up(c).unflatten(-1, (self.heads, -1)) for up in (self.k_up, self.v_up))
        q_nope, q_rope = q.split((self.nope, self.rope), -1)
        q_rope, k_rope = self.position(q_rope, self.k_rope(x).unsqueeze(-2), ctx)
        q = torch.cat((q_nope, q_rope.to(q.dtype)), -1)
        k = torch.cat((k, k_rope.to(k.dtype).expand(*k.shape[:-1], self.rope)), -1)
        y: Tensor = self.out(self.attend(q, k, v, x, ctx).flatten(-2))
        return y
