"""Bend attention scores so that none exceeds a cap.

`s <- cap tanh(s / cap)` of scaled scores s = q k / sqrt(D), before the mask and softmax.

Suggested settings: cap 50 (Gemma 2).
When it hurts / conflicts: attention cannot become sharper than the cap allows; slower on CPU, where scores leave the
fused path. Little to do beside qk_norm, which bounds scores by sqrt(D).
Source: Gemma Team 2024 (Gemma 2), arXiv:2408.00118, section 2.
"""

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import Context, Plugin, hookimpl


class CappedScores(nn.Module):
    """cap tanh(s / cap)."""

    def __init__(self, cap: float):
        super().__init__()
        self.cap = cap

    def forward(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        return self.cap * torch.tanh(score / self.cap)


class ScoreSoftcap(Plugin):
    cap: PositiveFloat = 50.0
    """Largest absolute score."""

    @hookimpl
    def add_score_rules(self) -> nn.Module:
        return CappedScores(self.cap)
