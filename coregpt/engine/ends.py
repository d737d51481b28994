"""The two ends of a branch on a CPU, without a compiler: norm with the products that read it, a product with the sum.

At laptop sizes half of a step is the price of calling operators one by one. Each end is one operation with a backward
pass of its own, and what lies between (positions, attention, an activation) is asked as ever.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from coregpt.engine.fused import working_dtype


def at_once(x: Tensor) -> bool:
    """Whether both ends can be computed so for a stream x: in training on a CPU, uncompiled, in fp32 at least."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and working_dtype(x) != torch.float16
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


def untouched(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a part is core's own, no subclass of it, and nobody watches it being called."""
    return (
        type(module) is kind
        and "forward" not in module.__dict__
        and not (module._forward_pre_hooks or module._forward_hooks)
        and not (module._backward_pre_hooks or module._backward_hooks)
    )


class _Mode:
    """Whether the backward pass that is running adds to the gradients that parameters have."""

    accumulating = False


@contextlib.contextmanager
def accumulating() -> Iterator[None]:
    """While it lasts, gradients of weights are added where they lie, by the product that makes them.

    For `loss.backward()` only: `torch.autograd.grad` would miss them.
    """
    _Mode.accumulating = True
    try:
        yield
    finally:
        _Mode.accumulating = False


def _gradients(weights: Sequence[Tensor], up: Tensor, rows: Tensor) -> list[Tensor | None]:
    """up^T rows for weights (d_out, d_in) side by side; None where it was added to their gradients already."""
    if not any(weight.requires_grad for weight in weights):
        return [None] * len(weights)
    grads = [weight.grad for weight in weights if _added_to(weight) and weight.grad is not None]
    joined = beside(grads) if len(grads) == len(weights) else None
    if joined is None:
        whole = torch.mm(up.t(), rows).to(weights[0].dtype)
        return list(whole.split([weight.shape[0] for weight in weights]))
    if joined.dtype == up.dtype:
        joined.addmm_(up.t(), rows)
    else:
        joined.add_(torch.mm(up.t(), rows))
    return [None] * len(weights)


def _added_to(weight: Tensor) -> bool:
    """Whether its gradient may be added to in place: a parameter in a training step that nobody watches."""
    watched = weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None)
    return _Mode.accumulating and weight.is_leaf and weight.requires_grad and not watched


def normed_products(x: Tensor, weights: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """`F.linear(rms_norm(x), weight)` for each weight (d_out, dim), of x (..., dim): (..., *shape) each.

    The product of a shape is its d_out. Under autocast products are in autocast's dtype.
    """
    out = [(*x.shape[:-1], *shape) for shape in shapes]
    return _NormedProducts.apply(x, working_dtype(x), out, *weights)  # type: ignore[no-untyped-call]


def added_product(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """x + F.linear(y, weight): x (..., dim), y any shape of as many rows, weight (dim, width); in x's dtype."""
    return _AddedProduct.apply(x, y, weight)  # type: ignore[no-untyped-call]


class _NormedProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dtype: torch.dtype, shapes: list[tuple[int, ...]], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        rows = x.reshape(-1, x.shape[-1])
        # torch's own fused norm is fused on GPUs only, and on a CPU takes a third longer than this.
        scale = torch.linalg.vector_norm(rows, dim=-1, keepdim=True).square_()
        scale.div_(x.shape[-1]).add_(torch.finfo(x.dtype).eps).rsqrt_()
        normed = (rows * scale).to(dtype)
        joined = beside(weights)
        used = [each.to(dtype) for each in (weights if joined is None else (joined,))]
        products = [torch.mm(normed, weight.t()) for weight in used]
        ctx.save_for_backward(normed, scale, *used)
        ctx.like, ctx.weights = (x.shape, x.dtype), weights
        return tuple(_apart(products, shapes))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *ups: Tensor | None) -> tuple[Tensor | None, ...]:
        normed, scale, *used = ctx.saved_tensors
        shape, dtype = ctx.like
        rows = [_or_zeros(up, weight, normed) for up, weight in zip(ups, ctx.weights, strict=True)]
        weights = [[weight] for weight in ctx.weights]
        if len(used) < len(rows):
            rows, weights = [torch.cat(rows, 1)], [ctx.weights]
        grads: list[Tensor | None] = []
        above: Any = None
        for up, weight, own in zip(rows, used, weights, strict=True):
            above = torch.mm(up, weight) if above is None else above.addmm_(up, weight)
            grads += _gradients(own, up, normed)
        if not ctx.needs_input_grad[0]:
            return None, None, None, *grads
        above, wide = above.to(dtype), normed.to(dtype)
        along = (above * wide).sum(-1, keepdim=True)
        dx = above.addcmul_(wide, along, value=-1 / shape[-1]).mul_(scale)
        return dx.view(shape), None, None, *grads


def beside(tensors: Sequence[Tensor]) -> Tensor | None:
    """Matrices of one width that lie one after the other in one memory, as one matrix; None where they do not."""
    if len(tensors) == 1:
        return tensors[0]
    if any(type(each) not in (Tensor, nn.Parameter) for each in tensors):  # one without memory has no address
        return None
    first, at, rows = tensors[0], tensors[0].data_ptr(), 0
    storage, width = first.untyped_storage().data_ptr(), first.shape[1:]
    for each in tensors:
        if each.data_ptr() != at or each.untyped_storage().data_ptr() != storage or not each.is_contiguous():
            return None
        if each.dtype != first.dtype or each.shape[1:] != width:
            return None
        at += each.nbytes
        rows += each.shape[0]
    return first.as_strided((rows, *width), first.stride())


def _apart(products: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> Iterator[Tensor]:
    """Products (rows, width) in the shapes that were asked for; one may hold them all, side by side.

    No view in autograd's eyes: whoever reads one may write to it, since nobody else keeps it.
    """
    if len(products) < len(shapes):
        rows = products[0].shape[0]
        products = torch.unsafe_split_with_sizes(products[0], [math.prod(shape) // rows for shape in shapes], 1)
    return map(torch.ops.aten._unsafe_view, products, shapes)


def _or_zeros(up: Tensor | None, weight: Tensor, normed: Tensor) -> Tensor:
    """(rows, d_out) of what is above one product."""
    rows = normed.shape[0]
    return normed.new_zeros(rows, weight.shape[0]) if up is None else up.reshape(rows, -1)


class _AddedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        rows = y.reshape(x.numel() // x.shape[-1], -1)
        used = weight.to(y.dtype)
        if y.dtype == x.dtype:
            out = x.new_empty(x.shape)
            torch.mm(rows, used.t(), out=out.view(-1, x.shape[-1]))
            out.add_(x)  # a product that begins with x takes half as long again
        else:
            out = x + torch.mm(rows, used.t()).view(x.shape)
        ctx.save_for_backward(rows, used)
        ctx.like, ctx.weight = y.shape, weight
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:
        rows, used = ctx.saved_tensors
        narrow = up.reshape(rows.shape[0], -1).to(rows.dtype)
        dy = torch.mm(narrow, used).view(ctx.like) if ctx.needs_input_grad[1] else None
        (dweight,) = _gradients((ctx.weight,), narrow, rows) if ctx.needs_input_grad[2] else (None,)
        return up, dy, dweight
