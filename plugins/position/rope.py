"""Rotate queries and keys by angles that grow with position, so that scores depend on distances only.

Head dimension i is paired with i + D/2. A token at position t turns pair i by the angle t w_i:
`y_i = x_i cos + x_(i+D/2) sin`, `y_(i+D/2) = -x_i sin + x_(i+D/2) cos`, with `w_i = base^(-2i/D)`.
Takes the place of the learned position table. Angles and rotation are in fp32.

`truncate` keeps half of the dimensions still (no position in them): the first D/4 pairs turn with
frequencies spread evenly in the logarithm from 1 down to 1/base, both included; the other D/4 pairs never turn.

`form: nvidia` is what the code published with nGPT does in the place of a rotation: with the row of sines and cosines
`e = (sin t w_0, cos t w_0, sin t w_1, ..., cos t w_(D/2-1))`, it gives `y_2j = -x_(2j+1) e_(D/2+j)` and
`y_(2j+1) = x_2j e_j`. Lengths change and scores depend on more than distances.

Suggested settings: the defaults; with `truncate`, base 1024. `form: nvidia` only to repeat that code.
When it hurts / conflicts: nothing else may claim positions. Contexts beyond the trained length see angles
that were never trained. `truncate` needs heads whose width is a multiple of 4 and at least 8.
Source: Su et al. 2021, arXiv:2104.09864; modded-nanogpt record 2; `truncate`: modded-nanogpt record 17;
`form: nvidia`: github.com/NVIDIA/ngpt.
"""

from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl


def frequencies(dim: int, base: float, truncate: bool) -> Tensor:
    """(D/2,) radians per token of each pair, float64 on CPU."""
    if not truncate:
        return base ** (-2 * torch.arange(dim // 2, dtype=torch.float64) / dim)
    turning = dim // 4
    found = torch.zeros(dim // 2, dtype=torch.float64)
    found[:turning] = base ** (-torch.arange(turning, dtype=torch.float64) / (turning - 1))
    return found


def rows(table: Tensor, length: int, ctx: Context) -> Tensor:
    """The rows of a table (context, 1, D) for the tokens of this pass: the first ones, or those that were selected."""
    return table[:length] if ctx.positions is None else table[ctx.positions]


class Rotate(torch.autograd.Function):
    """x cos + swap(x) sin, swap exchanging the halves of D; its gradient turns by the opposite angles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        wide = x.to(torch.promote_types(x.dtype, cos.dtype))  # at once: products of two dtypes are slow
        first, second = wide.chunk(2, dim=-1)
        return torch.addcmul(wide * cos, torch.cat((second, first), dim=-1), sin).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *ups: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return Rotate.apply(ups[0], cos, -sin), None, None  # type: ignore[no-untyped-call]


class Rotary(nn.Module):
    """Turns q and k (B, T, H, D); its tables (context, 1, D) are constants."""

    cos: Tensor
    sin: Tensor

    def __init__(self, at: Site, frequency: Tensor):
        super().__init__()
        angles = torch.arange(at.shape.context, dtype=torch.float64)[:, None, None] * frequency
        cos, sin = angles.cos().float().to(at.device), angles.sin().float().to(at.device)
        self.register_buffer("cos", torch.cat((cos, cos), dim=-1), persistent=False)
        self.register_buffer("sin", torch.cat((sin, -sin), dim=-1), persistent=False)

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        cos, sin = (rows(table, q.shape[1], ctx) for table in (self.cos, self.sin))
        return self.rotate(q, cos, sin), self.rotate(k, cos, sin)

    @staticmethod
    def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, T, H, D) turned by its positions, in fp32 at least."""
        return Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]


class Published(nn.Module):
    """The position function of NVIDIA's published nGPT on q and k (B, T, H, D); its table is (context, 1, D)."""

    factors: Tensor

    def __init__(self, at: Site, frequency: Tensor):
        super().__init__()
        angles = torch.arange(at.shape.context, dtype=torch.float64)[:, None] * frequency
        e = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
        first, second = e.chunk(2, dim=-1)
        factors = torch.stack((-second, first), dim=-1).flatten(-2)
        self.register_buffer("factors", factors.float()[:, None].to(at.device), persistent=False)

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        factors = rows(self.factors, q.shape[1], ctx)
        return self.swapped(q, factors), self.swapped(k, factors)

    @staticmethod
    def swapped(x: Tensor, factors: Tensor) -> Tensor:
        """Neighbours exchanged, each times its factor, in fp32 at least."""
        return (x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2) * factors).to(x.dtype)


class Rope(Plugin):
    base: Annotated[float, Field(gt=1)] = 10_000.0
    """The slowest pair turns about 1/base radian per token."""
    truncate: bool = False
    """Half of each head's dimensions carry no position."""
    form: Literal["rotation", "nvidia"] = "rotation"
    """A rotation, or what NVIDIA's published nGPT does instead."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.truncate and self.form == "nvidia":
            raise ValueError("truncate belongs to form 'rotation', not to 'nvidia'")
        return self

    @hookimpl
    def make_position(self, at: Site, dim: int) -> nn.Module:
        if self.truncate and (dim % 4 or dim < 8):
            raise PluginError(f"rope: truncate needs a head width that is a multiple of 4 and at least 8, got {dim}")
        part = Rotary if self.form == "rotation" else Published
        return part(at, frequencies(dim, self.base, self.truncate))
