"""Softmax attention on a CPU: plain products of one block of queries with the keys it may see.

PyTorch's fused kernel for bf16 on CPUs takes two to five times as long, forward and backward, at the sizes of laptop
studies (`python -m benchmarks`). Blocks that a mask empties are not computed, so a short window is a short product.
Query heads that share a key head are rows of one product: fewer key heads cost less and are never copied out.
The operator is opaque to the compiler: compiled and uncompiled runs do the same arithmetic.
"""

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

QUERY_BLOCK = 128
"""Queries of one product: few enough to skip most of the future, enough for fast products."""
CACHED_SCORES = 2**20
"""Scores computed before the next are begun: few enough for a cache, enough to be worth the calls."""

# Not `custom_op`, whose first call imports the compiler: a second of every run that does not compile.
ATTEND, BACKWARD = "coregpt::blocked_attention", "coregpt::blocked_attention_backward"
ARGUMENTS = "Tensor q, Tensor k, Tensor v, Tensor? mask, float scale"
torch.library.define(
    ATTEND, f"({ARGUMENTS}, bool lse, bool top) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
torch.library.define(BACKWARD, f"(Tensor up, Tensor? up_lse, {ARGUMENTS}, Tensor saved) -> (Tensor, Tensor, Tensor)")


class Sizes(NamedTuple):
    """B, key heads Hk, query heads of each (G = H / Hk), queries T, keys S."""

    batch: int
    heads: int
    group: int
    queries: int
    keys: int

    @classmethod
    def of(cls, q: Tensor, k: Tensor) -> "Sizes":
        """Of (B, T, H, D) and (B, S, Hk, D)."""
        return cls(q.shape[0], k.shape[2], q.shape[2] // k.shape[2], q.shape[1], k.shape[1])


def blocked_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Softmax(scale q k^T) v: q (B, T, H, D), k (B, S, Hk, D), v (B, S, Hk, Dv) to (B, T, H, Dv); Hk divides H.

    `mask` (B or 1, H or 1, T, S) is True where a query may see a key; without it attention is causal and T is S.
    A query that may see no key gets zeros. Probabilities have the inputs' dtype, sums over queries are fp32.
    `scale` is 1 / sqrt(D) if not given.
    """
    return blocked_statistics(q, k, v, mask, scale, False, False)[0]


def blocked_statistics(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float | None, lse: bool, top: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The same, the logarithm of each softmax's sum (B, T, H) and the largest score of each head (H,), fp32.

    What is not asked for is empty. The largest score has no gradient.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    plain = type(q) is Tensor and q.device.type == "cpu" and not torch.compiler.is_compiling()
    attention = _Blocked.apply if plain else torch.ops.coregpt.blocked_attention
    y, sums, tops, *_ = attention(q, k, v, mask, scale, lse, top)  # type: ignore[no-untyped-call]
    return y, sums, tops


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, lse: bool, top: bool
) -> tuple[Tensor, ...]:
    """The output and what was asked for; for the backward pass q, k, v by key head and all probabilities."""
    size = Sizes.of(q, k)
    sums, tops, qs, ks, vs, saved = _room(q, k, v, mask, lse, top)
    for grouped, t in ((qs, q), (ks, k), (vs, v)):
        parts = by_key_head(t, size)
        grouped.view(parts.shape).copy_(parts)
    found = q.new_empty((*qs.shape[:2], v.shape[-1]))
    attend_grouped(size, (qs, ks, vs), mask, scale, saved, found, sums if lse else None, tops if top else None)
    return by_token(found, size), sums, tops, qs, ks, vs, saved


def attend_grouped(
    size: Sizes,
    heads: Sequence[Tensor],
    mask: Tensor | None,
    scale: float,
    saved: Tensor,
    found: Tensor,
    sums: Tensor | None = None,
    tops: Tensor | None = None,
) -> None:
    """Writes probabilities and output, and what else there is room for: all by key head, as `by_key_head` has them."""
    qs, ks, vs = heads
    longest = 1 << (size.queries - 1).bit_length()
    future = _future(size.group, QUERY_BLOCK, longest, qs.dtype) if mask is None else qs
    seen = None if mask is None else _seen_by_group(mask, size)
    for rows, n, start, end, low, high, probs in _blocks(saved, size, seen):
        here = slice(start * size.group, end * size.group)
        queries, keys = qs[n, here], ks[n, low:high].contiguous().mT
        if seen is None:
            shift = longest - start
            bias = future[: probs.shape[1], shift : shift + end].expand_as(probs)
            torch.baddbmm(bias, queries, keys, alpha=scale, out=probs)
            visible = None
        else:
            torch.baddbmm(probs, queries, keys, beta=0, alpha=scale, out=probs)
            visible = seen[_of(seen, rows), :, start:end, :, low:high]
        scores = probs.view(-1, size.heads, end - start, size.group, high - low)
        if visible is not None:
            _hide(scores, visible)
        if sums is not None:
            places = sums.view(size.batch, size.queries, size.heads, size.group)[rows, start:end]
            places.copy_(scores.to(sums.dtype).logsumexp(-1).transpose(1, 2))
        if tops is not None:
            tops.copy_(tops.maximum(scores.amax((0, 2, 4)).flatten()))
        torch.softmax(probs, -1, out=probs)
        if visible is not None and scores[..., 0].isnan().any():  # softmax of nothing is NaN
            scores.masked_fill_(~visible.any(-1, keepdim=True), 0.0)
        torch.bmm(probs, vs[n, low:high], out=found[n, here])


def _hide(scores: Tensor, seen: Tensor) -> None:
    """Subtracts infinity where `seen`, which broadcasts, is False."""
    for part in _partly_hidden(seen):
        hidden = ~seen[..., part]
        scores[..., part].add_(scores.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf")))


@cache
def _future(group: int, side: int, longest: int, dtype: torch.dtype) -> Tensor:
    """(side G, longest + side) of what is added to scores: nothing to so many keys, then -inf to those after a query.

    One for all lengths up to a power of two, of which any block's is a part: making it anew takes as long as the
    product that it is added to, and one for every length would stay when a text grows token by token.
    """
    with torch.inference_mode(False):
        hidden = torch.full((side, side), float("-inf"), dtype=dtype).triu_(1)
        whole = torch.cat((torch.zeros(side, longest, dtype=dtype), hidden), -1)
        return whole if group == 1 else whole.repeat_interleave(group, 0)


def _attend_backward(
    up: Tensor, up_lse: Tensor | None, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, saved: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q (B, T, H, D), k (B, S, Hk, D) and v (B, S, Hk, Dv) from those of the output and of `lse`."""
    size = _sizes_of_grouped(up, q, k)
    grads = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    up = by_key_head(up, size).reshape(*q.shape[:2], -1)
    if up_lse is not None:
        up_lse = by_key_head(up_lse.unsqueeze(-1), size).reshape(*q.shape[:2], 1).to(q.dtype)
    attend_grouped_backward(size, up, (q, k, v), mask, scale, saved, grads, up_lse)
    one = size._replace(group=1)
    return by_token(grads[0], size), by_token(grads[1], one), by_token(grads[2], one)


def attend_grouped_backward(
    size: Sizes,
    up: Tensor,
    heads: Sequence[Tensor],
    mask: Tensor | None,
    scale: float,
    saved: Tensor,
    grads: Sequence[Tensor],
    up_lse: Tensor | None = None,
) -> None:
    """Writes the gradients of q, k and v, all by key head."""
    (q, k, v), (dq, dk, dv) = heads, grads
    wide = torch.promote_types(q.dtype, torch.float32)
    seen = None if mask is None else _seen_by_group(mask, size)
    # The last queries come first: without a mask or with a window they see the last keys, and begin the sums.
    blocks = list(_blocks(saved, size, seen))
    room = saved.new_empty(max(probs.numel() for *_, probs in blocks))  # one for all blocks stays in the cache
    for _, n, start, end, low, high, probs in reversed(blocks):
        here = slice(start * size.group, end * size.group)
        above, values = up[n, here].contiguous(), v[n, low:high].contiguous().mT
        dscores = room[: probs.numel()].view(probs.shape)
        torch.bmm(above, values, out=dscores)
        torch._softmax_backward_data(dscores, probs, -1, probs.dtype, grad_input=dscores)
        if up_lse is not None:
            dscores.addcmul_(probs, up_lse[n, here])
        torch.baddbmm(q[n, here], dscores, k[n, low:high], beta=0, alpha=scale, out=dq[n, here])
        if start == 0 and end == size.queries and low == 0 and high == size.keys:  # nothing to sum
            torch.baddbmm(dk[n], dscores.mT, q[n], beta=0, alpha=scale, out=dk[n])
            torch.bmm(probs.mT, above, out=dv[n])
            continue
        parts = torch.bmm(dscores.mT, q[n, here]), torch.bmm(probs.mT, above)
        if end == size.queries:
            around = (0, 0, low, size.keys - high)
            sums = [(F.pad(part, around) if any(around) else part).to(wide) for part in parts]
        else:
            for whole, part in zip(sums, parts, strict=True):
                whole[:, low:high].add_(part)
        if start == 0:
            dk[n], dv[n] = sums[0].mul_(scale), sums[1]


def _blocks(
    saved: Tensor, size: Sizes, seen: Tensor | None
) -> Iterator[tuple[slice, slice, int, int, int, int, Tensor]]:
    """(rows, their key heads, first query, end, first key, end, room for probabilities) of every product, in order.

    Without a mask keys end where queries end. Probabilities are (rows Hk, queries G, keys), one block after the
    other in `saved`.
    """
    wide = size.heads * size.group * min(QUERY_BLOCK, size.queries) * size.keys
    together = max(1, CACHED_SCORES // wide)
    free = 0
    for first in range(0, size.batch, together):
        rows = slice(first, min(first + together, size.batch))
        n = slice(rows.start * size.heads, rows.stop * size.heads)
        for start in range(0, size.queries, QUERY_BLOCK):
            end = min(start + QUERY_BLOCK, size.queries)
            low, high = 0, end
            if seen is not None:
                low, high = seen_keys(seen[_of(seen, rows), :, start:end])
            shape = (n.stop - n.start, (end - start) * size.group, high - low)
            numbers = math.prod(shape)
            yield rows, n, start, end, low, high, saved[free : free + numbers].view(shape)
            free += numbers


def seen_keys(seen: Tensor) -> tuple[int, int]:
    """First key and end of what any query of (..., S) sees, to multiples of 8 where S allows; one step if none."""
    eights, each = _eights(seen)
    some = eights.flatten(0, -2).any(0).nonzero()
    return (int(some[0]) * each, (int(some[-1]) + 1) * each) if len(some) else (0, each)


def _partly_hidden(seen: Tensor) -> list[slice]:
    """The keys of (..., keys) outside the longest run of keys that every query sees."""
    eights, each = _eights(seen)
    hidden = (eights != (ALL_EIGHT if each > 1 else 1)).flatten(0, -2).any(0)
    edges = [-1, *hidden.nonzero().flatten().tolist(), len(hidden)]
    size, first = max((after - before - 1, before + 1) for before, after in itertools.pairwise(edges))
    parts = [slice(0, first * each), slice((first + size) * each, seen.shape[-1])]
    return [part for part in parts if part.start < part.stop]


ALL_EIGHT = int.from_bytes(b"\1" * 8, sys.byteorder)


def _eights(seen: Tensor) -> tuple[Tensor, int]:
    """Eight keys as one number, where they fit, and how many each stands for: an eighth of the work."""
    *others, step = seen.stride()
    fits = step == 1 and all(n % 8 == 0 for n in (seen.shape[-1], seen.storage_offset(), *others))
    return (seen.view(torch.int64), 8) if fits else (seen, 1)


def _of(mask: Tensor, rows: slice) -> slice:
    """The part of a mask that holds for these rows: all of it where rows share one."""
    return rows if len(mask) > 1 else slice(0, 1)


# Query heads of one key head lie beside each other, query by query: (B Hk, T G, D). A block of queries is then a
# block of rows, and the product of all heads of a group with their keys is one.


def by_key_head(t: Tensor, size: Sizes) -> Tensor:
    """(B, T, Hk G, D) as (B, Hk, T, G, D), a view."""
    return t.unflatten(2, (size.heads, -1)).transpose(1, 2)


def by_token(grouped: Tensor, size: Sizes) -> Tensor:
    """(B Hk, T G, D) as (B, T, Hk G, D): a view where each key head has one query head, else a copy."""
    return grouped.view(size.batch, size.heads, -1, size.group, grouped.shape[-1]).transpose(1, 2).flatten(2, 3)


def _seen_by_group(mask: Tensor, size: Sizes) -> Tensor:
    """(B or 1, H or 1, T, S) as (B or 1, Hk or 1, T, G or 1, S)."""
    return mask.unsqueeze(3) if mask.shape[1] == 1 else mask.unflatten(1, (size.heads, size.group)).transpose(2, 3)


def _sizes_of_grouped(up: Tensor, q: Tensor, k: Tensor) -> Sizes:
    heads = len(q) // len(up)
    return Sizes(len(up), heads, up.shape[2] // heads, up.shape[1], k.shape[1])


def _room(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, lse: bool, top: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Unwritten memory for all that `_attend` returns but the output: see there."""
    size = Sizes.of(q, k)
    wide = torch.promote_types(q.dtype, torch.float32)
    sums = q.new_empty((size.batch, size.queries, q.shape[2]) if lse else (0,), dtype=wide)
    tops = q.new_full((q.shape[2],) if top else (0,), float("-inf"), dtype=wide)
    by_head = [q.new_empty((size.batch * size.heads, n, t.shape[-1])) for n, t in _lengths(size, q, k, v)]
    return sums, tops, *by_head, room_for_scores(q, size, mask)  # type: ignore[return-value]


def room_for_scores(like: Tensor, size: Sizes, mask: Tensor | None) -> Tensor:
    """Unwritten memory for all probabilities."""
    scores = size.queries * size.keys  # at most; what a mask empties is never touched
    if mask is None:
        ends = [min(start + QUERY_BLOCK, size.queries) for start in range(0, size.queries, QUERY_BLOCK)]
        scores = sum((end - start) * end for start, end in itertools.pairwise([0, *ends]))
    return like.new_empty(size.batch * size.heads * size.group * scores)


def _lengths(size: Sizes, q: Tensor, k: Tensor, v: Tensor) -> list[tuple[int, Tensor]]:
    return [(size.queries * size.group, q), (size.keys, k), (size.keys, v)]


def _fake(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, lse: bool, top: bool
) -> tuple[Tensor, ...]:
    size = Sizes.of(q, k)
    sums, tops, *kept = _room(q, k, v, mask, lse, top)
    return by_token(q.new_empty((*kept[0].shape[:2], v.shape[-1])), size), sums, tops, *kept


def _fake_backward(
    up: Tensor, up_lse: Tensor | None, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, saved: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    size = _sizes_of_grouped(up, q, k)
    one = size._replace(group=1)
    dq, dk, dv = (torch.empty_like(t) for t in (q, k, v))
    return by_token(dq, size), by_token(dk, one), by_token(dv, one)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)  # what is saved gets no gradient: zeros as large as it would be made
    ctx.mark_non_differentiable(*output[2 if inputs[5] else 1 :])
    ctx.save_for_backward(*output[3:], inputs[3])
    ctx.scale = inputs[4]
    ctx.like = output[0].shape


def _backward(ctx: Any, up: Tensor | None, up_lse: Tensor | None, *_: Any) -> tuple[Any, ...]:
    q, k, v, saved, mask = ctx.saved_tensors
    up = q.new_zeros(ctx.like) if up is None else up
    grads = torch.ops.coregpt.blocked_attention_backward(up, up_lse, q, k, v, mask, ctx.scale, saved)
    return (*grads, None, None, None, None)


class _Blocked(torch.autograd.Function):
    """The same where nothing is compiled: a call of the registered operator costs as much as a small product."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        y, *others = _attend(*inputs)
        output = (y.contiguous(), *others)  # no view: whoever reads it may write to it
        _remember(ctx, inputs, output)
        return output[:3]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, up: Tensor | None, up_lse: Tensor | None, _: Any) -> tuple[Any, ...]:
        q, k, v, saved, mask = ctx.saved_tensors
        up = q.new_zeros(ctx.like) if up is None else up
        grads = _attend_backward(up, up_lse, q, k, v, mask, ctx.scale, saved)
        return (*grads, None, None, None, None)


torch.library.impl(ATTEND, "CPU")(_attend)
torch.library.impl(BACKWARD, "CPU")(_attend_backward)
torch.library.register_fake(ATTEND, _fake)
torch.library.register_fake(BACKWARD, _fake_backward)
torch.library.register_autograd(ATTEND, _backward, setup_context=_remember)
