"""Attention whose scores are changed by rules, out of differentiable operations: any device, any rule.

Slower than the kernels, since every block of scores is kept for the backward pass. Queries go in blocks, and keys
that no query of a block may see are left out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from coregpt.contract.context import Context
from coregpt.engine.attention.blocks import QUERY_BLOCK, seen_keys


class Attended(NamedTuple):
    """What attention gives where more than its output is asked for."""

    y: Tensor
    """(B, T, H, Dv)."""
    lse: Tensor
    """(B, T, H), fp32, differentiable: the logarithm of the sum that each softmax divides by."""
    top: Tensor
    """(H,), fp32, without gradient: the largest score of each head over rows, queries and keys."""


class ScoreRules(NamedTuple):
    """Rules `(score, b, h, q, k, ctx) -> score`, and the tokens that indices stand for if not themselves."""

    rules: Sequence[Any]
    ctx: Context | None
    places: Tensor | None = None

    def __call__(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Scores after all rules; index tensors broadcast against `score`."""
        if self.places is not None:
            q, k = (place(self.places, b, index) for index in (q, k))
        for rule in self.rules:
            score = rule(score, b, h, q, k, self.ctx)
        return score


def place(places: Tensor, b: Tensor, index: Tensor) -> Tensor:
    """The tokens that indices of row b stand for; places (P,), (1, P) or (B, P)."""
    if places.dim() == 2 and len(places) == 1:
        places = places[0]
    return places[index] if places.dim() == 1 else places[b, index]


def attend_by_rules(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rules: ScoreRules, scale: float) -> Attended:
    """Softmax(rules(scale q k^T)) v of (B, T, H, D), (B, S, Hk, D), (B, S, Hk, Dv); rules see fp32 scores.

    `mask` (B or 1, H or 1, T, S), None for causal. A query that may see no key gets zeros.
    """
    queries = q.shape[1]
    blocks = []
    for start in range(0, queries, QUERY_BLOCK):
        end = min(start + QUERY_BLOCK, queries)
        here = slice(start, end)
        keys = slice(0, end) if mask is None else _visible(mask, here)
        blocks.append(one_block(q, k, v, mask, rules, scale, here, keys))
    ys, sums, tops = zip(*blocks, strict=True)
    return Attended(torch.cat(ys, 1), torch.cat(sums, 1), torch.stack(tops).amax(0))


def _visible(mask: Tensor, queries: slice) -> slice:
    """Keys that some of the queries see; all where nobody may look, as in a compiled graph, which has one shape."""
    return slice(0, mask.shape[-1]) if _closed(mask) else slice(*seen_keys(mask[:, :, queries]))


def _closed(t: Tensor) -> bool:
    """Whether its numbers cannot be looked at: there are none, or they are not the ones that a graph will have."""
    return torch.compiler.is_compiling() or t.is_meta or type(t) is not Tensor


def one_block(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    rules: ScoreRules,
    scale: float,
    queries: slice,
    keys: slice,
    visible: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Output (B, queries, H, Dv), sums (B, queries, H), largest scores (H,); `visible` hides nothing."""
    group = q.shape[2] // k.shape[2]
    # Query heads of one key head below each other: (B, Hk, G queries, D).
    rows = q[:, queries].unflatten(2, (-1, group)).permute(0, 2, 3, 1, 4)
    products = rows.flatten(2, 3) @ k[:, keys].permute(0, 2, 3, 1)
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = products.unflatten(2, (group, -1)).flatten(1, 2).to(wide) * scale
    b, h, at, to = _indices(scores, queries.start, keys.start)
    scores = rules(scores, b, h, at, to)
    if not visible:
        seen = at >= to if mask is None else mask[:, :, queries, keys]
        scores = scores.masked_fill(~seen, float("-inf"))
    tops = scores.detach().amax((0, 2, 3))
    sums = scores.logsumexp(-1)
    if mask is not None and not visible:
        blind = ~seen.any(-1, keepdim=True)
        if _closed(blind) or bool(blind.any()):  # softmax of nothing is NaN
            sums = scores.masked_fill(blind, 0.0).logsumexp(-1).masked_fill(blind.squeeze(-1), float("-inf"))
            probs = torch.softmax(scores.masked_fill(blind, 0.0), -1).masked_fill(blind, 0.0)
        else:
            probs = torch.softmax(scores, -1)
    else:
        probs = torch.softmax(scores, -1)
    mixed = probs.to(v.dtype).unflatten(1, (-1, group)).flatten(2, 3) @ v[:, keys].transpose(1, 2)
    y = mixed.unflatten(2, (group, -1)).permute(0, 3, 1, 2, 4).flatten(2, 3)
    return y, sums.transpose(1, 2), tops


def _indices(scores: Tensor, query: int, key: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row, head, query and key of each score, in shapes that broadcast."""
    batch, heads, queries, keys = scores.shape
    ranges = (0, batch), (0, heads), (query, query + queries), (key, key + keys)
    shapes = (-1, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1)
    each = [
        torch.arange(*ends, dtype=torch.int32, device=scores.device).view(shape)
        for ends, shape in zip(ranges, shapes, strict=True)
    ]
    return each[0], each[1], each[2], each[3]
