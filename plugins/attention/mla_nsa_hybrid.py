"""Ask three attentions with one latent query, and let each token say how much of each it takes.

With queries, latent keys and values as in `mla`, and keys and values of their own for the second and the third:

    y = g_1 latent + g_2 selected + g_3 whole,      g = softmax(W x) (3), for each token

1. latent: keys and values from the narrow latent vector.
2. selected: of the n tokens that a query may see, the ceil(share n) with the largest scores s . x. The direction s is
   drawn and stays: in the source nothing gives it a gradient either.
3. whole: every token that a query may see.

Every branch turns the last `rope` dimensions of its keys as those of the query.

Suggested settings: share 1/4; NanoPoor has q_rank 96, kv_rank 32, nope 32, rope 64 and value 32 at width 256, for any
number of heads.
When it hurts / conflicts: three attentions, two of them as wide as any: dearer than plain attention in everything.
NanoPoor's selection and gates look at the whole sequence, so that losses fall by reading ahead; here both are causal.
Its compressor, which no output depends on, and its division of the turned key by the number of heads are left out. What
of its branches' keys is turned is not recorded. Whatever else makes the attention clashes. FLOPs of the selection are
counted as those of plain attention.
Source: NanoPoor (github.com/VatsaDev/NanoPoor); DeepSeek-AI 2024, arXiv:2405.04434; Yuan et al. 2025, arXiv:2502.11089.
"""

from dataclasses import replace
from typing import Annotated, Any, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, Site, attend, hookimpl, uniform


class MlaNsaHybrid(Plugin):
    q_rank: PositiveInt | None = None
    """Width of the latent of queries. Empty: 3 dim / 8."""
    kv_rank: PositiveInt | None = None
    """Width of the latent of keys and values. Empty: dim / 8."""
    nope: PositiveInt | None = None
    """Width of a head's queries and keys without position. Empty: the plain head's."""
    rope: PositiveInt | None = None
    """Width of those with position, even. Empty: half of the plain head's, made even."""
    value: PositiveInt | None = None
    """Width of a head's values. Empty: the plain head's."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Of the tokens that a query may see, the part that is selected."""

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.rope is not None and self.rope % 2:
            raise ValueError(f"rope ({self.rope}) must be even: positions turn pairs of dimensions")
        return self

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        return HybridAttention(at, self)


class Own(nn.Module):
    """Keys (B, T, H, nope + rope) and values (B, T, H, value) of one branch, and the query turned as its keys are."""

    def __init__(self, at: Site, heads: Heads, rope: int):
        super().__init__()
        self.heads, self.rope = heads.keys, rope
        self.k = at.linear("k", at.shape.dim, heads.keys * heads.width)
        self.v = at.linear("v", at.shape.dim, heads.keys * heads.value_width)
        self.position = at.position(rope, Heads(heads.query, heads.keys, rope, heads.value_width))

    def forward(self, q: Tensor, x: Tensor, ctx: Context) -> tuple[Tensor, Tensor, Tensor]:
        k, v = (part(x).unflatten(-1, (self.heads, -1)) for part in (self.k, self.v))
        return *turned(self.position, self.rope, q, k, ctx), v


class HybridAttention(nn.Module):
    """`(x, ctx) -> y`."""

    direction: Tensor

    def __init__(self, at: Site, options: MlaNsaHybrid):
        super().__init__()
        dim, width, self.heads = at.shape.dim, at.shape.head_dim, at.shape.heads
        q_rank, kv_rank = options.q_rank or max(1, 3 * dim // 8), options.kv_rank or max(1, dim // 8)
        self.nope, self.rope = options.nope or width, options.rope or max(2, width // 4 * 2)
        value, self.share, self.rules = options.value or width, options.share, at.masks()
        heads = Heads(self.heads, self.heads, self.nope + self.rope, value)
        self.q_down, self.q_norm = at.linear("q_down", dim, q_rank), at.norm("q_norm", q_rank)
        self.q_up = at.linear("q_up", q_rank, self.heads * heads.width)
        self.kv_down, self.kv_norm = at.linear("kv_down", dim, kv_rank), at.norm("kv_norm", kv_rank)
        self.k_up = at.linear("k_up", kv_rank, self.heads * self.nope)
        self.v_up = at.linear("v_up", kv_rank, self.heads * value)
        self.k_rope = at.linear("k_rope", dim, self.rope)
        self.position = at.position(self.rope, Heads(self.heads, 1, self.rope, value))
        self.latent = at.part("attend", heads=heads)
        self.selection, self.whole = (
            Own(at.child("selected"), heads, self.rope),
            Own(at.child("whole"), heads, self.rope),
        )
        self.attend_whole = at.child("whole").part("attend", heads=heads)
        self.scores = at.child("selected").score_rules(heads)
        self.score_modules = nn.ModuleList(rule for rule in self.scores if isinstance(rule, nn.Module))
        self.gate = at.linear("gate", dim, 3, role="gate")
        self.out = at.linear("out", self.heads * value, dim, writes=True)
        drawn = uniform(at.random("direction"), torch.zeros(1, dtype=torch.long, device=at.device), (1, dim))
        self.register_buffer("direction", drawn[0] - 0.5, persistent=False)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        q = self.q_up(self.q_norm(self.q_down(x))).unflatten(-1, (self.heads, -1))
        c = self.kv_norm(self.kv_down(x))
        k, v = (up(c).unflatten(-1, (self.heads, -1)) for up in (self.k_up, self.v_up))
        place = self.k_rope(x).unsqueeze(-2)
        q_rope, k_rope = self.position(q[..., self.nope :], place, ctx)
        k = torch.cat((k, k_rope.to(k.dtype).expand(*k.shape[:-1], self.rope)), -1)
        first = self.latent(torch.cat((q[..., : self.nope], q_rope.to(q.dtype)), -1), k, v, x, ctx)
        own_q, own_k, own_v = self.selection(q, x, ctx)
        second: Any = attend(
            own_q, own_k, own_v, self.chosen(x, ctx), scores=self.scores, ctx=ctx, places=ctx.positions
        )
        third = self.attend_whole(*self.whole(q, x, ctx), x, ctx)
        gates = self.gate(x).float().softmax(-1).to(first.dtype)[..., None, None]
        mixed = sum(gates[..., i, :, :] * part for i, part in enumerate((first, second, third)))
        y: Tensor = self.out(mixed.flatten(-2))
        return y

    @torch.no_grad()
    def chosen(self, x: Tensor, ctx: Context) -> Tensor:
        """(B, H or 1, T, T): the largest scores s . x among the tokens that each query may see."""
        length, device = x.shape[1], x.device
        scores = (x.float() * self.direction).sum(-1)[:, None, None]  # (B, 1, 1, T)
        k = torch.arange(length, device=device).view(1, 1, 1, -1)
        q = k.view(1, 1, -1, 1)
        b = torch.arange(len(x), device=device).view(-1, 1, 1, 1)
        h = torch.arange(self.heads, device=device).view(1, -1, 1, 1)
        seen = k <= q
        if ctx.positions is not None:  # some tokens of a row, which rules know by where they stand in it
            at = ctx.positions.view(-1, 1, length)
            q, k, ctx = at.unsqueeze(-1), at.unsqueeze(-2), replace(ctx, documents=ctx.row_documents)
        rules: Any = self.rules
        for rule in rules:
            seen = seen & rule(b, h, q, k, ctx)
        scores = scores.masked_fill(~seen, float("-inf"))
        count = (seen.sum(-1, keepdim=True) * self.share - 1e-6).ceil().long().clamp(min=1)
        least = scores.sort(-1, descending=True).values.gather(-1, count.expand(*scores.shape[:-1], 1) - 1)
        return seen & (scores >= least)


def turned(position: nn.Module, rope: int, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
    """q and k (B, T, H, nope + rope), their last `rope` dimensions turned."""
    q_rope, k_rope = position(q[..., -rope:], k[..., -rope:], ctx)
    return torch.cat((q[..., :-rope], q_rope.to(q.dtype)), -1), torch.cat((k[..., :-rope], k_rope.to(k.dtype)), -1)
