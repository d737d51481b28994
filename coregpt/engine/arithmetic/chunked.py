"""Next-token cross-entropy that never holds all logits: some rows at a time, loss and gradient at once.

Logits of 65,536 tokens and 50,304 words take 13 GB in fp32, and autograd would keep them, their transforms and their
probabilities until the backward pass. Here a chunk of rows goes through the head, the transforms and the softmax, and
its gradient comes back to the hidden states and the head's weight before the next chunk is looked at; the backward
pass only multiplies by what arrives from above. As many products as the plain way (three of the head's size), less
memory, and sums over rows are fp32 where the plain way has one product in low precision.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from coregpt.contract.context import Context
from coregpt.engine.arithmetic.fused import without_autocast, working_dtype

KEPT = 2**28
"""The most logits of one forward pass that are made whole: 1 GiB in fp32. A property of the run, never of the machine:
the last bits of a loss hang on it."""
CHUNK = 2**27
"""Logits of one chunk: 512 MiB in fp32, products large enough for any GPU."""


class Bend(Protocol):
    """A logit transform that works on each logit by itself and has no parameters."""

    def __call__(self, logits: Tensor, ctx: Context) -> Tensor: ...

    def slope(self, logits: Tensor, bent: Tensor) -> Tensor:
        """The derivative at each of `logits`; `bent` are their transforms."""


def bends(transforms: Iterable[nn.Module]) -> list[Any] | None:
    """The transforms, if each says its slope and has no parameter; None otherwise."""
    found = list(transforms)
    simple = all(hasattr(each, "slope") and not list(each.parameters()) for each in found)
    return found if simple else None


def too_many(tokens: Tensor, vocab: int) -> bool:
    """Whether logits of all tokens are more than should be held at once."""
    return tokens.numel() * vocab > KEPT


def next_token_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, transforms: Iterable[Bend], ctx: Context, chunk: int = CHUNK
) -> Tensor:
    """Mean over N tokens of -log softmax(t(h W^T))[target]: hidden (N, dim), weight (V, dim), targets (N,) int64.

    0-d, fp32 at least. `chunk` is the most logits at a time. Products are in autocast's dtype where it is on, all else
    in fp32 at least. It can be differentiated once.
    """
    dtype, wide = working_dtype(hidden), torch.promote_types(hidden.dtype, torch.float32)
    wanted = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    rows = max(1, chunk // len(weight))
    with torch.no_grad(), without_autocast(hidden):
        h, w = hidden.detach().to(dtype), weight.detach().to(dtype)
        total = hidden.new_zeros((), dtype=wide)
        by_hidden: list[Tensor] = []
        by_weight = torch.zeros_like(weight, dtype=wide) if wanted else None
        for x, y in zip(h.split(rows), targets.split(rows), strict=True):
            loss, up = _chunk(x @ w.T, y, transforms, ctx, wide, wanted)
            total = total + loss
            if by_weight is not None:
                up = up.to(dtype)
                by_hidden.append(up @ w)
                by_weight = by_weight + (up.T @ x).to(wide)
        mean = total / len(targets)
    if by_weight is None:
        return mean
    return _Known.apply(mean, hidden, weight, torch.cat(by_hidden), by_weight, len(targets))  # type: ignore[no-untyped-call]


def _chunk(
    logits: Tensor, targets: Tensor, transforms: Iterable[Bend], ctx: Context, wide: torch.dtype, wanted: bool
) -> tuple[Tensor, Tensor]:
    """Sum of losses, and its gradient by the head's logits where it is wanted.

    Not divided by the number of tokens: in fp16 a share of 1 / 65,536 would vanish.
    """
    z = logits.to(wide)
    slopes: list[Tensor] = []
    for transform in transforms:
        bent = transform(z, ctx)
        if wanted:
            slopes.append(transform.slope(z, bent))
        z = bent
    probs = torch.softmax(z, -1)
    normaliser = z.amax(-1) - probs.amax(-1).log()  # as in `cross_entropy`
    loss = (normaliser - z.gather(-1, targets[:, None]).squeeze(-1)).sum()
    up = probs.scatter_add(-1, targets[:, None], -torch.ones_like(probs[:, :1])) if wanted else probs
    for slope in slopes:
        up = up * slope
    return loss, up


class _Known(torch.autograd.Function):
    """A mean whose gradient is already there, as that of the sum."""

    @staticmethod
    def forward(
        ctx: Any, mean: Tensor, hidden: Tensor, weight: Tensor, by_hidden: Tensor, by_weight: Tensor, count: int
    ) -> Tensor:
        ctx.save_for_backward(by_hidden, by_weight)
        ctx.count, ctx.dtypes = count, (hidden.dtype, weight.dtype)
        return mean.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *ups: Tensor) -> tuple[None, Tensor, Tensor, None, None, None]:
        by_hidden, by_weight = ctx.saved_tensors
        share = ups[0] / ctx.count
        hidden, weight = ctx.dtypes
        return None, (by_hidden.to(share.dtype) * share).to(hidden), (by_weight * share).to(weight), None, None, None
