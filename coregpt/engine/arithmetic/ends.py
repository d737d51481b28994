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

from coregpt.engine.arithmetic.fused import working_dtype


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
    """up^T rows for a weight (d_out, d_in); None where it was added to its gradient already."""
    if not weight.requires_grad:
        return None
    if weight.grad is None or not _added_to(weight):
        return torch.mm(up.t(), rows).to(weight.dtype)
    if weight.dtype == up.dtype:
        weight.grad.addmm_(up.t(), rows)
    else:
        weight.grad.add_(torch.mm(up.t(), rows))
    return None


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
        ctx.set_materialize_grads(False)  # a product that nobody uses costs no more
        rows = x.reshape(-1, x.shape[-1])
        # torch's own fused norm is fused on GPUs only, and on a CPU takes a third longer than this.
        scale = torch.linalg.vector_norm(rows, dim=-1, keepdim=True).square_()
        scale.div_(x.shape[-1]).add_(torch.finfo(x.dtype).eps).rsqrt_()
        normed = (rows * scale).to(dtype)
        used = [weight.to(dtype) for weight in weights]
        ctx.save_for_backward(normed, scale, *used)
        ctx.like, ctx.weights = (x.shape, x.dtype), weights
        # No view in autograd's eyes: whoever reads a product may write to it, since nobody else keeps it.
        return tuple(
            torch.ops.aten._unsafe_view(torch.mm(normed, weight.t()), shape)
            for weight, shape in zip(used, shapes, strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *ups: Tensor | None) -> tuple[Tensor | None, ...]:
        normed, scale, *used = ctx.saved_tensors
        shape, dtype = ctx.like
        grads: list[Tensor | None] = []
        above: Any = None
        for up, weight, own in zip(ups, used, ctx.weights, strict=True):
            if up is None:
                grads.append(None)
                continue
            rows = up.reshape(normed.shape[0], -1)
            above = torch.mm(rows, weight) if above is None else above.addmm_(rows, weight)
            grads.append(_gradient(own, rows, normed))
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
        return up, dy, _gradient(ctx.weight, narrow, rows)
