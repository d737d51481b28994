"""Multiply with factors of 8 bits in training: the head, the MLP, the projections of attention.

For y = x W^T, with q(.) the nearest number of e4m3 (4 bits of exponent, 3 of mantissa, at most 448) after a scale:

    y = q(a x) q(b W)^T / (a b)

a is one number for each token and b one for each row of W: the largest power of two with which nothing exceeds 448.
Going back, where `backward` says so, the gradient g of y is taken in e5m2 (5 and 2 bits, at most 57344, one scale for
all of it) and meets q(x) and q(W); elsewhere it meets x and W as they are. Evaluation is in the precision of the run.

Suggested settings: head alone (record 19: both ways), `of: [head, mlp]` (record 84), all three (attention's: proposal
322). Heads go back in 8 bits in the records, the others do not.
When it hurts / conflicts: no time is saved here, this is what it does to the numbers. The records have one scale for
all tokens, fixed or that of the step before; powers of two by token lose no bit to it and let no token see another. A
head in 8 bits has its logits made whole.
Source: modded-nanogpt records 19, 84 and proposals 322, 363; Micikevicius et al. 2022, arXiv:2209.05433.
"""

from collections.abc import Generator
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from coregpt_plugins._shared.inside import replaced
from pydantic import Field
from torch import Tensor, nn

from coregpt.api import Linear, Plugin, Site, hookimpl

Place = Literal["head", "mlp", "attention"]
FORWARD, BACKWARD = torch.float8_e4m3fn, torch.float8_e5m2


class Fp8(Plugin):
    """Wraps linear maps."""

    of: Annotated[tuple[Place, ...], Field(min_length=1)] = ("head", "mlp", "attention")
    """Whose linear maps."""
    backward: tuple[Place, ...] = ("head",)
    """Of these, whose gradients are taken in 8 bits too."""

    @hookimpl(wrapper=True)
    def make_linear(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        place = next((name for name in self.of if name in at.path.split(".")), None)
        if place is None or at.role not in ("matrix", "head"):
            return inner
        both = place in self.backward
        return replaced(inner, lambda part: type(part) is Linear, lambda part: InEightBits(part, both)) or inner


class InEightBits(nn.Module):
    """The linear map `inner`, in 8 bits while it trains."""

    def __init__(self, inner: nn.Module, both: bool):
        super().__init__()
        self.inner, self.both = inner, both

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self.inner.weight
        if not self.training:
            return F.linear(x, weight)
        y: Tensor = Product.apply(x, weight, self.both)  # type: ignore[no-untyped-call]
        return y


class Product(torch.autograd.Function):
    """x (..., d_in) times W^T in 8 bits; products of 8-bit numbers are exact in bf16's or fp32's, sums are theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, both: bool) -> Tensor:
        x8, w8 = in_bits(x, FORWARD, -1), in_bits(weight.to(x.dtype), FORWARD, -1)
        ctx.save_for_backward(*((x8, w8) if both else (x, weight.to(x.dtype))))
        ctx.both, ctx.kind = both, weight.dtype
        return F.linear(x8, w8)

    @staticmethod
    def backward(ctx: Any, *ups: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        up = ups[0].to(x.dtype)
        up = in_bits(up, BACKWARD, None) if ctx.both else up
        rows = up.flatten(0, -2)
        return up @ weight, (rows.mT @ x.flatten(0, -2)).to(ctx.kind), None


def in_bits(x: Tensor, kind: torch.dtype, dim: int | None) -> Tensor:
    """x rounded to `kind` and back, under one scale for all of it or for each vector along `dim`."""
    top = x.abs().float()
    top = top.amax() if dim is None else top.amax(dim, keepdim=True)
    most = torch.finfo(kind).max
    # 2^floor(log2(most / top)), exact: the exponent of a float, whose mantissa is in [1/2, 1).
    exponent = torch.frexp(most / top.clamp(min=1e-30)).exponent - 1
    scale = torch.ldexp(torch.ones_like(top), exponent)
    return ((x.float() * scale).to(kind).float() / scale).to(x.dtype)
