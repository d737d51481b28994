"""The two ends of a branch on a CPU, without a compiler: norm with the products that read it, a product with the sum.

At laptop sizes half of a step is the price of calling operators one by one. Each end is one operation with a backward
pass of its own, and what lies between (positions, attention, an activation) is asked as ever.
"""

import contextlib
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


def _gradient(weight: Tensor, up: Tensor, rows: Tensor) -> Tensor | None:
    """up^T rows for the weight (d_out, d_in), or None where it has been added to the weight's gradient already."""
    grad = weight.grad if _Mode.accumulating and weight.is_leaf else None
    if grad is None or weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None):
        return torch.mm(up.t(), rows).to(weight.dtype)
    if grad.dtype == up.dtype:
        grad.addmm_(up.t(), rows)
    else:
        grad.add_(torch.mm(up.t(), rows))
    return None


def normed_products(x: Tensor, weights: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """`F.linear(rms_norm(x), weight)` for each weight (d_out, dim), of x (..., dim): (..., *shape) each.

    The product of a shape is its d_out. Under autocast products are in autocast's dtype.
    """
    out = [(*x.shape[:-1], *shape) for shape in shapes]
    return _NormedProducts.apply(x, working_dtype(x), out, *weights)  # type: ignore[no-untyped-call,no-any-return]


def added_product(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """x + F.linear(y, weight): x (..., dim), y any shape of as many rows, weight (dim, width); in x's dtype."""
    return _AddedProduct.apply(x, y, weight)  # type: ignore[no-untyped-call,no-any-return]


class _NormedProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dtype: torch.dtype, shapes: list[tuple[int, ...]], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        rows = x.reshape(-1, x.shape[-1])
        scale = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        scale.square_().mul_(1 / x.shape[-1]).add_(torch.finfo(x.dtype).eps).rsqrt_()
        normed = (rows * scale).to(dtype)
        used = [weight.to(dtype) for weight in weights]
        outs = []
        for weight, shape in zip(used, shapes, strict=True):
            out = normed.new_empty(shape)
            torch.mm(normed, weight.t(), out=out.view(len(rows), -1))
            outs.append(out)
        ctx.save_for_backward(normed, scale, *used)
        ctx.like, ctx.weights = (x.shape, x.dtype), weights
        return tuple(outs)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *ups: Tensor | None) -> tuple[Tensor | None, ...]:
        normed, scale, *used = ctx.saved_tensors
        shape, dtype = ctx.like
        above: Tensor | None = None
        grads: list[Tensor | None] = []
        for up, weight, narrow, wanted in zip(ups, ctx.weights, used, ctx.needs_input_grad[3:], strict=True):
            if up is None:
                grads.append(None)
                continue
            up = up.reshape(len(normed), -1)
            above = torch.mm(up, narrow) if above is None else above.addmm_(up, narrow)
            grads.append(_gradient(weight, up, normed) if wanted else None)
        if above is None or not ctx.needs_input_grad[0]:
            return None, None, None, *grads
        above, wide = above.to(dtype), normed.to(dtype)
        along = (above * wide).sum(-1, keepdim=True)
        dx = above.addcmul_(wide, along, value=-1 / shape[-1]).mul_(scale)
        return dx.view(shape), None, None, *grads


class _AddedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        rows = y.reshape(x.numel() // x.shape[-1], -1)
        used = weight.to(y.dtype)
        if y.dtype == x.dtype:
            out = torch.empty_like(x)
            torch.addmm(x.view(-1, x.shape[-1]), rows, used.t(), out=out.view(-1, x.shape[-1]))
        else:
            out = x + torch.mm(rows, used.t()).view(x.shape)
        ctx.save_for_backward(rows, used)
        ctx.like, ctx.weight = y.shape, weight
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:
        rows, used = ctx.saved_tensors
        narrow = up.reshape(len(rows), -1).to(rows.dtype)
        dy = torch.mm(narrow, used).view(ctx.like) if ctx.needs_input_grad[1] else None
        dweight = _gradient(ctx.weight, narrow, rows) if ctx.needs_input_grad[2] else None
        return up, dy, dweight
