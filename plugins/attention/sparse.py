"""Attend to a summary of everything, to the few blocks that the summary finds important, and to the last tokens.

Three attentions with keys and values of their own, added with gates sigmoid(W x) per head:

1. summary: `compress` keys in a row, every `stride` tokens, become one (a two-layer map of the block with learned
   positions inside it; values alike); a query sees the blocks that ended before or at it.
2. selection: the summary's attention probabilities, summed over the heads of a key head and over the summaries that
   overlap it, rank blocks of `block` tokens; a query sees the tokens of the `top` best ones up to itself. The first
   block, its own and the one before are always among them.
3. window: the last `window` tokens, itself included.

Others' rules of masks and scores hold in all three. To a mask a summary is its first token, to a score its last one.
Where only some tokens of a row are handed over (`mixture_of_depths`), summaries, blocks and windows count those, and
others' rules know where each stands in the row.

Suggested settings: as published for long contexts 32, 16, 64, 16, 512; the defaults are for short ones.
When it hurts / conflicts: pays at contexts of many blocks and with kernels that skip blocks; on a CPU it is slower than
plain attention. Which blocks are chosen has no gradient. Whatever else makes the attention clashes. FLOPs of the
selection are counted as those of plain attention.
Source: Yuan et al. 2025 (native sparse attention), arXiv:2502.11089.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, PluginError, Site, attend, build_mask, hookimpl


class Sparse(Plugin):
    compress: PositiveInt = 8
    """Tokens of one summary."""
    stride: PositiveInt = 4
    """Tokens from the start of one summary to the start of the next; divides `compress` and `block`."""
    block: PositiveInt = 8
    """Tokens of one block that may be selected."""
    top: PositiveInt = 4
    """Blocks that are selected, those that always are included; at least 3."""
    window: PositiveInt = 16
    """Tokens that the window shows, the query included."""
    kv_heads: PositiveInt = 1
    """Heads of keys and values; the query heads of one share its selection."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.compress % self.stride or self.block % self.stride:
            raise ValueError(f"stride ({self.stride}) must divide compress ({self.compress}) and block ({self.block})")
        if self.top < 3:
            raise ValueError(f"top ({self.top}) must be at least 3: the first block and two local ones are always seen")
        return self

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        if at.shape.heads % self.kv_heads:
            raise PluginError(f"sparse: kv_heads ({self.kv_heads}) must divide model.heads ({at.shape.heads})")
        return SparseAttention(at, self)


@dataclass(frozen=True)
class Within:
    """A query sees the last `window` tokens, itself included."""

    window: int

    def __call__(self, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Any) -> Tensor:
        return k > q - self.window


@dataclass(frozen=True, eq=False)
class Chosen:
    """A query sees the blocks that were chosen for it: chosen (B, H, T, blocks) bool."""

    chosen: Tensor
    block: int

    def __call__(self, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Any) -> Tensor:
        return self.chosen[b, h, q, k // self.block]


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """Somebody else's rule of masks or, after a score, of scores, asked about the tokens that indices stand for.

    Key index k is token `stride` k + `end` of those that are there; `ctx.positions` are their places in the row.
    """

    rule: Any
    stride: int = 1
    end: int = 0

    def __call__(self, *asked: Any) -> Tensor:
        *score, b, h, q, k, ctx = asked
        q, k = (self.place(b, index, ctx) for index in (q, k * self.stride + self.end))
        found: Tensor = self.rule(*score, b, h, q, k, ctx)
        return found

    @staticmethod
    def place(b: Tensor, index: Tensor, ctx: Context) -> Tensor:
        places = ctx.positions
        if places is None or places.device != index.device:  # a count's indices, which has no places
            return index
        return places[b if len(places) > 1 else 0, index]


class Summary(nn.Module):
    """(B, T, Hk, D) to (B, summaries, Hk, D)."""

    def __init__(self, at: Site, width: int, options: Sparse):
        super().__init__()
        self.size, self.stride = options.compress, options.stride
        self.inside = at.weight("inside", (self.size, width), "table", 0.02)
        self.up = at.linear("up", self.size * width, 2 * width)
        self.down = at.linear("down", 2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        blocks = x.unfold(1, self.size, self.stride).mT + self.inside.to(x.dtype)  # (B, summaries, Hk, size, D)
        y: Tensor = self.down(F.silu(self.up(blocks.flatten(-2))))
        return y


class SparseAttention(nn.Module):
    """`(x, ctx) -> y`."""

    def __init__(self, at: Site, options: Sparse):
        super().__init__()
        dim, width, self.heads = at.shape.dim, at.shape.head_dim, at.shape.heads
        self.options, self.keys = options, options.kv_heads
        heads, rules = Heads(self.heads, self.keys, width, width), at.masks()
        self.rules: Any = tuple(Elsewhere(rule) for rule in rules)  # type: ignore[attr-defined]
        asked = at.score_rules(heads)
        self.scores = [Elsewhere(rule) for rule in asked]
        self.summary_scores = [Elsewhere(rule, options.stride, options.compress - 1) for rule in asked]
        self.score_modules = nn.ModuleList(rule for rule in asked if isinstance(rule, nn.Module))
        self.q = at.linear("q", dim, dim)
        self.k = at.linear("k", dim, 3 * self.keys * width)
        self.v = at.linear("v", dim, 3 * self.keys * width)
        self.position = at.position(width, heads)
        self.k_summary = Summary(at.child("k_summary"), width, options)
        self.v_summary = Summary(at.child("v_summary"), width, options)
        self.gate = at.linear("gate", dim, 3 * self.heads, role="gate")
        self.out = at.linear("out", dim, dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        q = self.q(x).unflatten(-1, (self.heads, -1))
        k, v = (part(x).unflatten(-1, (3 * self.keys, -1)) for part in (self.k, self.v))
        turned = [self.position(q, one, ctx) for one in k.chunk(3, -2)]
        q, (k1, k2, k3), (v1, v2, v3) = turned[0][0], (k for _, k in turned), v.chunk(3, -2)
        if ctx.positions is not None:  # rules look documents up by place
            ctx = replace(ctx, documents=ctx.row_documents)
        if x.shape[1] < self.options.compress:  # too short for any summary
            first, chosen = torch.zeros_like(q), self.chosen(None, ctx)
        else:
            summary, seen = self.k_summary(k1), self.summaries_seen(ctx)
            first = attend(q, summary, self.v_summary(v1), seen, scores=self.summary_scores, ctx=ctx)
            chosen = self.chosen(self.importance(q, summary, seen, ctx), ctx)
        second = attend(q, k2, v2, self.selected(chosen, ctx), scores=self.scores, ctx=ctx)
        near = build_mask((*self.rules, Within(self.options.window)), ctx, heads=self.heads)
        third = attend(q, k3, v3, near, scores=self.scores, ctx=ctx)
        gates = self.gate(x).sigmoid().unflatten(-1, (3, self.heads)).unsqueeze(-1)
        y = sum(gates[..., i, :, :] * part for i, part in enumerate((first, second, third)))
        out: Tensor = self.out(y.flatten(-2))
        return out

    def summaries_seen(self, ctx: Context) -> Tensor:
        """(B or 1, H or 1, T, summaries): ended, and begun where other rules let the query look."""
        length, device = ctx.tokens.shape[1], ctx.tokens.device
        last = length - self.options.compress
        starts = torch.arange(0, last + 1, self.options.stride, device=device).view(1, 1, 1, -1)
        b, h, q = self.asking(len(ctx.tokens), length, device)
        seen = q >= starts + self.options.compress - 1
        for rule in self.rules:
            seen = seen & rule(b, h, q, starts, ctx)
        return seen

    def asking(self, rows: int, length: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Row, head and query of every score, in shapes that broadcast."""
        b = torch.arange(rows, device=device).view(-1, 1, 1, 1)
        h = torch.arange(self.heads, device=device).view(1, -1, 1, 1)
        return b, h, torch.arange(length, device=device).view(1, 1, -1, 1)

    @torch.no_grad()
    def importance(self, q: Tensor, summary: Tensor, seen: Tensor, ctx: Context) -> Tensor:
        """(B, Hk, T, blocks): probabilities summed over the heads of a key head and what a block overlaps."""
        options, length = self.options, q.shape[1]
        grouped = q.float().unflatten(2, (self.keys, -1)).permute(0, 2, 3, 1, 4)  # (B, Hk, group, T, D)
        scores = grouped @ summary.float().permute(0, 2, 3, 1).unsqueeze(2) * q.shape[-1] ** -0.5
        if self.summary_scores:
            to = torch.arange(scores.shape[-1], device=q.device).view(1, 1, 1, -1)
            for rule in self.summary_scores:
                changed = rule(scores.flatten(1, 2), *self.asking(len(q), length, q.device), to, ctx)
                scores = changed.unflatten(1, (self.keys, -1))
        allowed = seen.expand(-1, self.heads, -1, -1).unflatten(1, (self.keys, -1))
        scores = scores.masked_fill(~allowed, float("-inf")).softmax(-1).nan_to_num(0.0).sum(2)
        starts = torch.arange(scores.shape[-1], device=q.device)[:, None] * options.stride
        blocks = torch.arange(-(-length // options.block), device=q.device) * options.block
        overlap = (starts < blocks + options.block) & (blocks < starts + options.compress)
        return scores @ overlap.float()

    def chosen(self, importance: Tensor | None, ctx: Context) -> Tensor:
        """(B, H, T, blocks) bool: the `top` blocks of each query, those that begin after it never."""
        length, device = ctx.tokens.shape[1], ctx.tokens.device
        blocks = torch.arange(-(-length // self.options.block), device=device)
        own = (torch.arange(length, device=device) // self.options.block).unsqueeze(-1)
        always = (blocks == 0) | (blocks == own) | (blocks == own - 1)  # (T, blocks)
        if importance is None:
            importance = torch.zeros(len(ctx.tokens), self.keys, length, len(blocks), device=device)
        ranked = importance.masked_fill(always, float("inf")).masked_fill(blocks > own, float("-inf"))
        best = ranked.topk(min(self.options.top, len(blocks)), -1).indices
        found = torch.zeros_like(ranked, dtype=torch.bool).scatter(-1, best, True)
        return found.repeat_interleave(self.heads // self.keys, 1)

    def selected(self, chosen: Tensor, ctx: Context) -> Any:
        """The mask of the selection; on the meta device, where nothing is chosen, one that hides nothing."""
        if chosen.device.type == "meta":
            length = ctx.tokens.shape[1]
            return torch.ones(1, 1, length, length, dtype=torch.bool, device="meta")
        return build_mask((*self.rules, Chosen(chosen, self.options.block)), ctx, heads=self.heads)
