"""Keep the normaliser of the softmax near one, so that logits cannot drift.

With z the logits at a position (after everything that transforms them), the training loss gets in addition

    weight x mean (log sum_v exp z_v)^2

A softmax does not notice a constant added to all its logits; this term does, and holds it near zero.

Suggested settings: 1e-4, as published; it matters most for long runs in low precision.
When it hurts / conflicts: pulls probabilities that are not normalised towards 1, hardly visible in short fp32 runs.
Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5; Wortsman et al. 2023, arXiv:2309.14322.
"""

from typing import Any, ClassVar

from pydantic import NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import Context, Plugin, hookimpl


class ZLoss(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"weight": 0.0}

    weight: NonNegativeFloat = 1e-4
    """Of the squared logarithm in the training loss."""

    @hookimpl
    def add_losses(self) -> dict[str, nn.Module] | None:
        return {"z_loss": SquaredNormaliser(self.weight)} if self.weight else None


class SquaredNormaliser(nn.Module):
    """`(logits (B, T, V), targets, ctx) -> scalar`."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight

    def forward(self, logits: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        return self.weight * logits.logsumexp(-1).square().mean()
