"""Normalise what a branch writes, besides what it reads.

    x <- x + rms(branch(rms(x)))

What a branch adds then has one length per token, whatever its weights; how much it may say is decided by a gain
(`rmsnorm_gain`, as in Gemma 2) or by no one.

Suggested settings: with `rmsnorm_gain`.
When it hurts / conflicts: without gains every branch speaks as loudly as every other, from the first step. Branches
that start at zero (`zero_init`) give an RMS norm next to nothing to divide by, and gradients that are huge. Nothing
else may claim the place behind a branch.
Source: Ding et al. 2021 (CogView), arXiv:2105.13290; Gemma Team 2024 (Gemma 2), arXiv:2408.00118.
"""

from typing import ClassVar

from torch import nn

from coregpt.api import Plugin, RMSNorm, Site, hookimpl


class SandwichNorm(Plugin):
    """Claims the norm behind every branch, which the plain model leaves out."""

    conflicts: ClassVar[tuple[str, ...]] = ("post_norm", "zero_init")

    @hookimpl
    def make_norm(self, at: Site, dim: int) -> nn.Module | None:
        return RMSNorm(dim) if at.name == "post" else None
