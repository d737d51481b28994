"""An attention branch, or the half of it that follows the positions, as one operation on a CPU without a compiler.

`x + out(attend(q, k, v))`, and with q, k and v of rms_norm(x) where nothing stands between. Attention itself is that of
`blocks`; heads are copied once into its order, all three together where they are alike, and once back.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from coregpt.contract.heads import Heads
from coregpt.engine.arithmetic.ends import added, cast, gradient, gradients, normalised, normalised_backward
from coregpt.engine.arithmetic.fused import working_dtype
from coregpt.engine.attention.blocks import (
    Sizes,
    attend_grouped,
    attend_grouped_backward,
    by_key_head,
    by_token,
    room_for_scores,
)


def attended_product(x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, weight: Tensor) -> Tensor:
    """x + F.linear(attend(q, k, v), weight): x (B, T, dim), weight (dim, H Dv); heads and mask as `blocked_attention`
    has them. In x's dtype; attention and the product are in that of q, k and v."""
    return _AttendedProduct.apply(x, q, k, v, mask, weight)  # type: ignore[no-untyped-call]


def attention_branch(x: Tensor, heads: Heads, reading: Sequence[Tensor], writing: Tensor) -> Tensor:
    """x (B, T, dim) and causal attention added to it, in x's dtype: `reading` are the weights of q, k and v.

    Under autocast products and attention are in autocast's dtype. It can be differentiated once.
    """
    return _Branch.apply(x, working_dtype(x), heads, writing, *reading)  # type: ignore[no-untyped-call]


Grouped = tuple[Tensor, Tensor, Tensor]
"""q, k and v, or their gradients, by key head: contiguous, as `attend_grouped` wants them."""


def _room(size: Sizes, widths: tuple[int, int], like: Tensor) -> tuple[Grouped, Tensor | None]:
    """Unwritten heads; and all three as one tensor (3, B H, T, D) where they are alike."""
    (wide, value), pairs = widths, size.batch * size.heads
    if size.group == 1 and wide == value and size.queries == size.keys:
        whole = like.new_empty((3, pairs, size.queries, wide))
        return (whole[0], whole[1], whole[2]), whole
    queries = like.new_empty((pairs, size.queries * size.group, wide))
    keys = like.new_empty((pairs, size.keys, wide))
    return (queries, keys, like.new_empty((pairs, size.keys, value))), None


def _attended(size: Sizes, heads: Grouped, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The output as rows (B T, H Dv), and the probabilities."""
    q, _, v = heads
    saved, found = room_for_scores(q, size, mask), q.new_empty((*q.shape[:2], v.shape[-1]))
    attend_grouped(size, heads, mask, q.shape[-1] ** -0.5, saved, found)
    return by_token(found, size).reshape(size.batch * size.queries, -1), saved


def _attended_backward(
    size: Sizes, up: Tensor, heads: Grouped, mask: Tensor | None, saved: Tensor
) -> tuple[Grouped, Tensor | None]:
    """Gradients of the heads from that of the rows: as `_room` has them."""
    q, _, v = heads
    grads, whole = _room(size, (q.shape[-1], v.shape[-1]), q)
    above = by_key_head(up.view(size.batch, size.queries, -1, v.shape[-1]), size).reshape(*q.shape[:2], -1)
    attend_grouped_backward(size, above, heads, mask, q.shape[-1] ** -0.5, saved, grads)
    return grads, whole


class _AttendedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, weight: Tensor) -> Tensor:
        size, used = Sizes.of(q, k), weight.to(q.dtype)
        heads, _ = _room(size, (q.shape[-1], v.shape[-1]), q)
        for room, t in zip(heads, (q, k, v), strict=True):
            parts = by_key_head(t, size)
            room.view(parts.shape).copy_(parts)
        rows, saved = _attended(size, heads, mask)
        ctx.save_for_backward(*heads, mask, saved, rows, used)
        ctx.size, ctx.weight = size, weight
        return added(x, rows, used)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, mask, saved, rows, used = ctx.saved_tensors
        narrow = above.reshape(len(rows), -1).to(used.dtype)
        by_weight = gradient(ctx.weight, narrow, rows)
        (dq, dk, dv), _ = _attended_backward(ctx.size, torch.mm(narrow, used), (q, k, v), mask, saved)
        one = ctx.size._replace(group=1)
        return above, by_token(dq, ctx.size), by_token(dk, one), by_token(dv, one), None, by_weight


class _Branch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, heads: Heads, writing: Tensor, *reading: Tensor) -> Tensor:
        batch, length, dim = x.shape
        size = Sizes(batch, heads.keys, heads.group, length, length)
        normed, scale = normalised(x.reshape(-1, dim), dtype)
        used, out = cast(reading, dtype), writing.to(dtype)
        products = torch.mm(normed, used.t()).view(batch, length, -1)
        parts, whole = _room(size, (heads.width, heads.value_width), products)
        if whole is not None:
            whole.view(3, batch, heads.keys, length, -1).copy_(
                products.view(batch, length, 3, heads.keys, -1).permute(2, 0, 3, 1, 4)
            )
        else:
            apart = products.split([len(each) for each in reading], -1)
            for room, part, count in zip(parts, apart, (heads.query, heads.keys, heads.keys), strict=True):
                grouped = by_key_head(part.unflatten(-1, (count, -1)), size)
                room.view(grouped.shape).copy_(grouped)
        rows, saved = _attended(size, parts, None)
        ctx.save_for_backward(normed, scale, *parts, saved, rows, used, out)
        ctx.size, ctx.reading, ctx.writing = size, reading, writing
        return added(x, rows, out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        normed, scale, q, k, v, saved, rows, used, out = ctx.saved_tensors
        size = ctx.size
        stream = above.reshape(normed.shape)
        narrow = stream.to(normed.dtype)
        by_writing = gradient(ctx.writing, narrow, rows)
        grads, whole = _attended_backward(size, torch.mm(narrow, out), (q, k, v), None, saved)
        if whole is not None:
            apart = whole.view(3, size.batch, size.heads, size.queries, -1).permute(1, 3, 0, 2, 4)
            ups = apart.reshape(len(normed), -1)
        else:
            sizes = size, size._replace(group=1), size._replace(group=1)
            parts = [by_token(grad, each).reshape(len(normed), -1) for grad, each in zip(grads, sizes, strict=True)]
            ups = torch.cat(parts, -1)
        by_reading = gradients(ctx.reading, ups, normed)
        if not ctx.needs_input_grad[0]:
            return None, None, None, by_writing, *by_reading
        dx = normalised_backward(torch.mm(ups, used), normed, scale, stream)
        return dx.view(above.shape), None, None, by_writing, *by_reading
