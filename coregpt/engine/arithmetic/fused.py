"""Operations that PyTorch runs as many passes on a CPU, with a backward pass of their own.

RMS normalisation has no fused CPU kernel: its formula takes a dozen passes, three times as long as this.
"""

import contextlib
from typing import Any

import torch
from torch import Tensor

AUTOCASTING = frozenset(kind for kind in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(kind))
"""Devices that know autocast. Asked once: torch 2.11's compiler cannot trace the question."""


def working_dtype(x: Tensor) -> torch.dtype:
    """What autocast computes products of x in, where it is on; else the dtype x has."""
    kind = x.device.type
    if kind in AUTOCASTING and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return x.dtype


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """While it lasts, products of tensors like x have the dtype of their factors, under autocast too."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if kind in AUTOCASTING else contextlib.nullcontext()


def rms_norm(x: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last dimension, eps the machine epsilon of x; computed in x's dtype.

    fp16, which cannot hold squares beyond 65504, is computed in fp32.
    Under autocast the result is in autocast's dtype: it is rounded once and not by every projection that reads it.
    """
    return _Normalise.apply(x, -1, None, working_dtype(x))  # type: ignore[no-untyped-call]


def unit_norm(x: Tensor, dim: int = -1) -> Tensor:
    """x / |x| along `dim`, in fp32 at least; a vector shorter than 1e-12 is divided by 1e-12."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return _Normalise.apply(x.to(wide), dim, SHORTEST, wide)  # type: ignore[no-untyped-call]


SHORTEST = 1e-12


class _Normalise(torch.autograd.Function):
    """To length 1, where a shortest length is given, or else to a mean square of 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, shortest: float | None, out: torch.dtype) -> Tensor:
        x = x.float() if x.dtype == torch.float16 else x  # squares of a few hundred are beyond fp16
        length = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
        if shortest is None:
            scale = (length.square() / x.shape[dim] + torch.finfo(x.dtype).eps).rsqrt()
        else:
            scale = length.clamp(min=shortest).reciprocal()
        y = x * scale
        ctx.save_for_backward(y, scale)
        ctx.dim, ctx.shortest = dim, shortest
        return y.to(out)

    @staticmethod
    def backward(ctx: Any, *ups: Tensor) -> tuple[Tensor, None, None, None]:
        y, scale = ctx.saved_tensors
        up = ups[0].to(y.dtype)
        if ctx.shortest is None:
            along = (up * y).mean(ctx.dim, keepdim=True)
        else:  # a length that was replaced by the shortest does not depend on x
            along = (up * y).sum(ctx.dim, keepdim=True) * (scale < 1 / ctx.shortest)
        return torch.addcmul(up, y, along, value=-1) * scale, None, None, None


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of -log softmax(logits)[target]: logits (N, V), targets (N,) int64; 0-d, in logits' dtype.

    The log of the normaliser is max(logits) - log(max(softmax(logits))): no probability that may be 0 is ever in a
    logarithm, and no second pass over the logits is needed.
    """
    return _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        probs = torch.softmax(logits, -1)
        normaliser = logits.amax(-1) - probs.amax(-1).log()
        ctx.save_for_backward(probs, targets)
        return (normaliser - logits.gather(-1, targets[:, None]).squeeze(-1)).mean()

    @staticmethod
    def backward(ctx: Any, *ups: Tensor) -> tuple[Tensor, None]:
        probs, targets = ctx.saved_tensors
        share = ups[0] / len(targets)
        return (probs * share).scatter_add_(-1, targets[:, None], -share.expand(len(targets), 1)), None
