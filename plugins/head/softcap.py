"""Bend logits so that none exceeds a cap.

- `tanh`: `z <- cap tanh(z / cap)`.
- `isru`: `z <- cap z / sqrt(z^2 + cap^2)`, which bends earlier and flattens more slowly.
- `sigmoid`: `z <- cap sigmoid((z + shift) / width)`. With shift 0 and width cap / 4 it is tanh with half the cap, plus
  half the cap, so the loss is the same. A positive shift bends large logits more than small ones.

`tanh` and `isru` are odd, have slope 1 at 0 and stay within (-cap, cap); `sigmoid` stays within (0, cap). In training
and in evaluation.

Suggested settings: tanh with cap 30 or 15; isru with cap 15; sigmoid with cap 30 and width 7.5 (record 19; its
`root_dim` in records 22 to 27), or with cap 23, shift 5 and width 7.5 (record 54).
When it hurts / conflicts: a cap near the size of useful logits costs loss: no token's logit can exceed
another's by more than 2 cap (sigmoid: cap). nGPT scales logits its own way. Only one softcap makes sense.
Source: Gemma Team 2024 (Gemma 2), arXiv:2408.00118; modded-nanogpt records 9, 18, 19 and 54, its medium track (isru).
"""

from typing import Literal, Self

import torch
from pydantic import PositiveFloat, model_validator
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class TanhCap(nn.Module):
    """cap tanh(z / cap) of fp32 logits (B, T, V)."""

    def __init__(self, cap: float):
        super().__init__()
        self.cap = cap

    def forward(self, logits: Tensor, ctx: Context) -> Tensor:
        return self.cap * torch.tanh(logits / self.cap)

    def slope(self, logits: Tensor, bent: Tensor) -> Tensor:
        """The derivative at each logit: what core needs where logits are too many to be kept."""
        return 1 - (bent / self.cap).square()


class IsruCap(TanhCap):
    """z / sqrt(1 + (z / cap)^2), which is cap z / sqrt(z^2 + cap^2)."""

    def forward(self, logits: Tensor, ctx: Context) -> Tensor:
        return logits * torch.rsqrt(1 + (logits / self.cap).square())

    def slope(self, logits: Tensor, bent: Tensor) -> Tensor:
        return (1 + (logits / self.cap).square()).pow(-1.5)


class SigmoidCap(TanhCap):
    """cap sigmoid((z + shift) / width); `factor` multiplies z before everything."""

    def __init__(self, cap: float, shift: float, width: float, factor: float):
        super().__init__(cap)
        self.shift, self.width, self.factor = shift, width, factor

    def forward(self, logits: Tensor, ctx: Context) -> Tensor:
        return self.cap * torch.sigmoid((logits * self.factor + self.shift) / self.width)

    def slope(self, logits: Tensor, bent: Tensor) -> Tensor:
        return bent * (1 - bent / self.cap) * (self.factor / self.width)


class Softcap(Plugin):
    shape: Literal["tanh", "isru", "sigmoid"] = "tanh"
    """The curve."""
    cap: PositiveFloat = 15.0
    """Largest absolute logit; of `sigmoid` the largest logit, the smallest being 0."""
    shift: float = 0.0
    """`sigmoid` alone: added to logits."""
    width: PositiveFloat | None = None
    """`sigmoid` alone: divides logits. Empty: cap / 4, which gives slope 1 in the middle."""
    root_dim: bool = False
    """`sigmoid` alone: divide logits by sqrt(model.dim) before all else."""

    @model_validator(mode="after")
    def _of_the_sigmoid(self) -> Self:
        if self.shape != "sigmoid" and (self.shift or self.width is not None or self.root_dim):
            raise ValueError(f"shift, width and root_dim belong to shape 'sigmoid', not to '{self.shape}'")
        return self

    @hookimpl
    def add_logit_transforms(self, at: Site) -> nn.Module:
        if self.shape == "sigmoid":
            factor = at.shape.dim**-0.5 if self.root_dim else 1.0
            return SigmoidCap(self.cap, self.shift, self.width or self.cap / 4, factor)
        return TanhCap(self.cap) if self.shape == "tanh" else IsruCap(self.cap)
