"""Attention in float64 from its definition, one query at a time, and inputs to compare with."""

import math

import torch
from torch import Tensor


def by_query(
    q: Tensor, k: Tensor, v: Tensor, seen: Tensor, scale: float | None = None, change=None
) -> tuple[Tensor, Tensor, Tensor]:
    """Output (B, T, H, Dv), log-sum-exp (B, T, H) and largest score (H,); `change(score, b, h, t)` over all keys.

    `seen` (B, H, T, S); a query that sees no key gets zeros and minus infinity.
    """
    batch, queries, heads, width = q.shape
    group = heads // k.shape[2]
    scale = 1 / math.sqrt(width) if scale is None else scale
    out = q.new_zeros(batch, queries, heads, v.shape[-1])
    sums = q.new_full((batch, queries, heads), -math.inf)
    tops = q.new_full((heads,), -math.inf)
    for b in range(batch):
        for h in range(heads):
            keys, values = k[b, :, h // group], v[b, :, h // group]
            for t in range(queries):
                if not seen[b, h, t].any():
                    continue
                scores = (keys * q[b, t, h]).sum(-1) * scale
                if change is not None:
                    scores = change(scores, b, h, t)
                scores = scores[seen[b, h, t]]
                top = scores.max()
                weights = (scores - top).exp()
                out[b, t, h] = (weights[:, None] * values[seen[b, h, t]]).sum(0) / weights.sum()
                sums[b, t, h] = top + weights.sum().log()
                tops[h] = torch.maximum(tops[h], top.detach())
    return out, sums, tops


def inputs(batch: int, queries: int, keys: int, heads: tuple[int, int], widths: tuple[int, int]) -> list[Tensor]:
    """q, k and v in float64 that want gradients: (query, key) heads, (query and key, value) widths."""
    generator = torch.Generator().manual_seed(queries + keys)
    shapes = (queries, heads[0], widths[0]), (keys, heads[1], widths[0]), (keys, heads[1], widths[1])
    return [torch.randn(batch, *s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]


def a_mask(kind: str, batch: int, heads: int, queries: int, keys: int) -> Tensor | None:
    """None, or (B or 1, H or 1, T, S) of a kind: every combination of what may differ, and not all of it causal."""
    t, s = torch.arange(queries)[:, None], torch.arange(keys)
    if kind == "causal":
        return None
    if kind == "window":
        return ((t >= s) & (t - s < 9))[None, None]
    if kind == "documents":
        ends = torch.tensor([keys // 3, keys // 2, keys])[:batch].view(-1, 1, 1)
        return ((t >= s) & ((t < ends) == (s < ends)))[:, None]
    if kind == "by head":
        return torch.stack([(t >= s) & (t - s <= 4 * h) for h in range(heads)])[None]
    if kind == "random":  # of every row and head, neither causal nor square
        return torch.rand(batch, heads, queries, keys, generator=torch.Generator().manual_seed(0)) < 0.4
    assert kind == "blind"
    return ((t >= s) & (s >= queries // 2))[None, None]


KINDS = ("causal", "window", "documents", "by head", "random", "blind")
SIZES = {
    "plain": ((3, 3), (4, 4)),
    "grouped": ((4, 2), (4, 4)),
    "one key head": ((3, 1), (6, 4)),
    "wide values": ((2, 2), (4, 10)),
    "narrow values": ((4, 2), (8, 2)),
}


def whole(mask: Tensor | None, batch: int, heads: int, queries: int, keys: int) -> Tensor:
    """The mask, spelt out for every row and head."""
    seen = torch.ones(queries, keys, dtype=torch.bool).tril() if mask is None else mask
    return seen.expand(batch, heads, queries, keys)
