"""Causal softmax attention on a CPU: plain products of one block of queries with the keys it may see.

PyTorch's fused kernel for bf16 on CPUs takes two to five times as long, forward and backward, at the sizes of laptop
studies (`python -m benchmarks`). Blocks that a mask empties are not computed, so a short window is a short product.
The operator is opaque to the compiler: compiled and uncompiled runs do the same arithmetic.
"""

import itertools
import math
import sys
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

QUERY_BLOCK = 128
"""Queries of one product: few enough to skip most of the future, enough for fast products."""
CACHED_SCORES = 2**20
"""Scores computed before the next are begun: few enough for a cache, enough to be worth the calls."""

# Not `custom_op`, whose first call imports the compiler: a second of every run that does not compile.
ATTEND, BACKWARD = "coregpt::blocked_attention", "coregpt::blocked_attention_backward"
torch.library.define(ATTEND, "(Tensor q, Tensor k, Tensor v, Tensor? mask) -> (Tensor, Tensor, Tensor)")
torch.library.define(BACKWARD, "(Tensor up, Tensor qkv, Tensor saved, Tensor? mask) -> (Tensor, Tensor, Tensor)")


def blocked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax(q k^T / sqrt(D)) v on (B, T, H, D), causal; `mask` bool (B or 1, 1, T, T) must itself be causal.

    A query that may see no key gets zeros. Probabilities have the inputs' dtype, sums over queries are fp32.
    """
    return torch.ops.coregpt.blocked_attention(q, k, v, mask)[0]


@torch.library.impl(ATTEND, "CPU")
def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The output (B, T, H, D); for the backward pass q, k, v as (3, B H, T, D) and all probabilities."""
    batch, length, heads, width = q.shape
    out, qkv, saved = _room(q)
    for row, t in zip(qkv.view(3, batch, heads, length, width), (q, k, v), strict=True):
        row.copy_(t.transpose(1, 2))
    q, k, v = qkv
    found = out.transpose(1, 2).view(q.shape)
    future = _future(q, min(QUERY_BLOCK, length))
    for rows, n, start, end, low, probs in _blocks(saved, batch, length, heads, mask):
        here, keys = q[n, start:end], k[n, low:end].contiguous().mT
        if mask is None:
            bias = future[: end - start, length - start : length - start + end].expand_as(probs)
            torch.baddbmm(bias, here, keys, alpha=width**-0.5, out=probs)
            torch.softmax(probs, -1, out=probs)
        else:
            torch.baddbmm(probs, here, keys, beta=0, alpha=width**-0.5, out=probs)
            _masked_softmax(probs.view(-1, heads, *probs.shape[1:]), mask[_of(mask, rows), :, start:end, low:end])
        torch.bmm(probs, v[n, low:end], out=found[n, start:end])
    return out, qkv, saved


def _masked_softmax(scores: Tensor, seen: Tensor) -> None:
    """In place, (rows, heads, queries, keys) where (rows or 1, 1, queries, keys) is True; zeros where none is."""
    for part in _partly_hidden(seen):
        hidden = ~seen[..., part]
        scores[..., part].add_(scores.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf")))
    torch.softmax(scores, -1, out=scores)
    if scores[..., 0].isnan().any():  # softmax of nothing is NaN
        scores.masked_fill_(~seen.any(-1, keepdim=True), 0.0)


def _future(q: Tensor, side: int) -> Tensor:
    """(side, T + side) of what is added to scores: nothing to T keys, then -inf to those after a query."""
    hidden = q.new_full((side, side), float("-inf")).triu_(1)
    return torch.cat((q.new_zeros(side, q.shape[-2]), hidden), -1)


@torch.library.impl(BACKWARD, "CPU")
def _attend_backward(up: Tensor, qkv: Tensor, saved: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v from that of the output, all (B, T, H, D)."""
    batch, length, heads, width = up.shape
    q, k, v = qkv
    grads = torch.empty_like(qkv)
    dq, dk, dv = grads
    up = up.transpose(1, 2).reshape(q.shape)
    wide = torch.promote_types(q.dtype, torch.float32)
    # The last queries come first: they see all keys that a window leaves, and begin the sums over queries.
    for _, n, start, end, low, probs in reversed(list(_blocks(saved, batch, length, heads, mask))):
        here, values = up[n, start:end].contiguous(), v[n, low:end].contiguous().mT
        dscores = torch.bmm(here, values)
        torch._softmax_backward_data(dscores, probs, -1, probs.dtype, grad_input=dscores)
        torch.baddbmm(here, dscores, k[n, low:end], beta=0, alpha=width**-0.5, out=dq[n, start:end])
        parts = torch.bmm(dscores.mT, q[n, start:end]), torch.bmm(probs.mT, here)
        if end == length:
            sums = [(F.pad(part, (0, 0, low, 0)) if low else part).to(wide) for part in parts]
        else:
            for whole, part in zip(sums, parts, strict=True):
                whole[:, low:end].add_(part)
        if start == 0:
            dk[n], dv[n] = sums[0].mul_(width**-0.5), sums[1]
    dq, dk, dv = (grad.view(batch, heads, length, width).transpose(1, 2) for grad in grads)
    return dq, dk, dv


def _blocks(
    saved: Tensor, batch: int, length: int, heads: int, mask: Tensor | None
) -> Iterator[tuple[slice, slice, int, int, int, Tensor]]:
    """(rows, their heads, first query, end, first key, room for probabilities) of every product, in order.

    Keys end where queries end. Probabilities are (rows x heads, queries, keys), one block after the other in `saved`.
    """
    together = max(1, CACHED_SCORES // (heads * min(QUERY_BLOCK, length) * length))
    free = 0
    for first in range(0, batch, together):
        rows = slice(first, min(first + together, batch))
        n = slice(rows.start * heads, rows.stop * heads)
        for start in range(0, length, QUERY_BLOCK):
            end = min(start + QUERY_BLOCK, length)
            low = 0
            if mask is not None:
                low = _first_key(mask[_of(mask, rows), :, start:end], start)
            shape = (n.stop - n.start, end - start, end - low)
            size = math.prod(shape)
            yield rows, n, start, end, low, saved[free : free + size].view(shape)
            free += size


def _first_key(seen: Tensor, start: int) -> int:
    """The first key that any query of (B, 1, queries, T) sees, rounded down to 8 where T allows; `start` for none."""
    eights, each = _eights(seen)
    some = eights.flatten(0, 2).any(0).nonzero()
    return min(int(some[0]) * each, start) if len(some) else start


def _partly_hidden(seen: Tensor) -> list[slice]:
    """The keys of (B, 1, queries, keys) outside the longest run of keys that every query sees."""
    eights, each = _eights(seen)
    hidden = (eights != (ALL_EIGHT if each > 1 else 1)).flatten(0, 2).any(0)
    edges = [-1, *hidden.nonzero().flatten().tolist(), len(hidden)]
    size, first = max((after - before - 1, before + 1) for before, after in itertools.pairwise(edges))
    parts = [slice(0, first * each), slice((first + size) * each, seen.shape[-1])]
    return [part for part in parts if part.start < part.stop]


ALL_EIGHT = int.from_bytes(b"\1" * 8, sys.byteorder)


def _eights(seen: Tensor) -> tuple[Tensor, int]:
    """Eight keys as one number, where they fit, and how many each stands for: an eighth of the work."""
    fits = seen.shape[-1] % 8 == 0 and seen.storage_offset() % 8 == 0 and all(n % 8 == 0 for n in seen.stride()[:-1])
    return (seen.view(torch.int64), 8) if fits else (seen, 1)


def _of(mask: Tensor, rows: slice) -> slice:
    """The part of a mask that holds for these rows: all of it where rows share one."""
    return rows if len(mask) > 1 else slice(0, 1)


def _room(q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unwritten memory for what `_attend` returns; probabilities that causality leaves, whole blocks counted."""
    batch, length, heads, width = q.shape
    starts = range(0, length, QUERY_BLOCK)
    scores = sum((min(s + QUERY_BLOCK, length) - s) * min(s + QUERY_BLOCK, length) for s in starts)
    out = q.new_empty((batch, heads, length, width)).transpose(1, 2)
    return out, q.new_empty((3, batch * heads, length, width)), q.new_empty(batch * heads * scores)


def _fake_backward(up: Tensor, qkv: Tensor, saved: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, heads, width = up.shape
    dq, dk, dv = qkv.new_empty((3, batch, heads, length, width)).transpose(2, 3)
    return dq, dk, dv


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)  # what is saved gets no gradient: zeros as large as it would be made
    ctx.save_for_backward(*output[1:], inputs[3])


def _backward(ctx: Any, up: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
    return (*torch.ops.coregpt.blocked_attention_backward(up, *ctx.saved_tensors), None)


torch.library.register_fake(ATTEND, lambda q, k, v, mask: _room(q))
torch.library.register_fake(BACKWARD, _fake_backward)
torch.library.register_autograd(ATTEND, _backward, setup_context=_remember)
