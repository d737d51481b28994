"""x + down(gelu(up(rms_norm(x)))) as one operation with a backward pass of its own, on a CPU and without a compiler.

Where all of an MLP branch is core's own: what `ends` does for both ends, and nothing between them is asked.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from coregpt.engine.arithmetic.ends import added, gradient, normalised, normalised_backward
from coregpt.engine.arithmetic.fused import working_dtype


def mlp_branch(x: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """x (..., dim) and the branch added to it, in x's dtype: up (width, dim), down (dim, width); exact GELU.

    Under autocast products and GELU are in autocast's dtype. It can be differentiated once.
    """
    return _Branch.apply(x, working_dtype(x), up, down)  # type: ignore[no-untyped-call]


class _Branch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, up: Tensor, down: Tensor) -> Tensor:
        normed, scale = normalised(x.reshape(-1, x.shape[-1]), dtype)
        used = up.to(dtype), down.to(dtype)
        before = torch.mm(normed, used[0].t())
        after = F.gelu(before)
        ctx.save_for_backward(normed, scale, before, after, *used)
        ctx.weights = up, down
        return added(x, after, used[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        normed, scale, before, after, up, down = ctx.saved_tensors
        stream = above.reshape(normed.shape)
        narrow = stream.to(normed.dtype)
        by_down = gradient(ctx.weights[1], narrow, after)
        hidden = torch.mm(narrow, down)
        torch.ops.aten.gelu_backward.grad_input(hidden, before, grad_input=hidden)
        by_up = gradient(ctx.weights[0], hidden, normed)
        if not ctx.needs_input_grad[0]:
            return None, None, by_up, by_down
        dx = normalised_backward(torch.mm(hidden, up), normed, scale, stream)
        return dx.view(above.shape), None, by_up, by_down
