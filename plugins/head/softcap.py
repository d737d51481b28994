"""Bend logits so that none exceeds a cap.

`tanh`: `z <- cap tanh(z / cap)`. `isru`: `z <- cap z / sqrt(z^2 + cap^2)`, which bends earlier and flattens
more slowly. Both are odd, have slope 1 at 0 and stay within (-cap, cap), in training and in evaluation.

Suggested settings: tanh with cap 30 or 15; isru with cap 15.
When it hurts / conflicts: a cap near the size of useful logits costs loss: no token's logit can exceed
another's by more than 2 cap. nGPT scales logits its own way. Only one softcap makes sense.
Source: Gemma Team 2024 (Gemma 2), arXiv:2408.00118; modded-nanogpt records 9 and 18, and its medium track (isru).
"""

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import Context, Plugin, hookimpl


class TanhCap(nn.Module):
    """cap tanh(z / cap) of fp32 logits (B, T, V)."""

    def __init__(self, cap: float):
        super().__init__()
        self.cap = cap

    def forward(self, logits: Tensor, ctx: Context) -> Tensor:
        return self.cap * torch.tanh(logits / self.cap)


class IsruCap(TanhCap):
    """z / sqrt(1 + (z / cap)^2), which is cap z / sqrt(z^2 + cap^2)."""

    def forward(self, logits: Tensor, ctx: Context) -> Tensor:
        return logits * torch.rsqrt(1 + (logits / self.cap).square())


class Softcap(Plugin):
    shape: Literal["tanh", "isru"] = "tanh"
    """The curve from slope 1 at zero to flat at the cap."""
    cap: PositiveFloat = 15.0
    """Largest absolute logit."""

    @hookimpl
    def add_logit_transforms(self) -> nn.Module:
        return TanhCap(self.cap) if self.shape == "tanh" else IsruCap(self.cap)
