"""Attention that keeps no scores, on shapes: what a GPU's kernels leave in memory, for estimates made without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

_on: ContextVar[bool] = ContextVar("no scores are kept", default=False)


@contextmanager
def keeping_no_scores() -> Iterator[None]:
    """Inside, attention of fake tensors keeps what FlexAttention and fused SDPA keep; its numbers are nobody's."""
    token = _on.set(True)
    try:
        yield
    finally:
        _on.reset(token)


def is_unkept(q: Tensor) -> bool:
    """Whether `q` is asked about in this way: never an ordinary tensor, nor what the compiler takes for one."""
    return type(q) is not Tensor and _on.get()


def unkept(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shapes of the output (B, T, H, Dv), the logarithms of sums (B, T, H) and the largest scores (H,), both fp32."""
    return _Unkept.apply(q, k, v)  # type: ignore[no-untyped-call]


class _Unkept(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, sums = q.new_empty((*q.shape[:3], v.shape[3])), q.new_empty(q.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, y, sums)
        return y, sums, q.new_empty(q.shape[2], dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *ups: Tensor) -> tuple[Tensor, ...]:
        q, k, v, *_ = ctx.saved_tensors
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
