"""Approximate the MLP's GELU by a hyperbolic tangent, as GPT-2 did.

    gelu(z) ~ z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3)))

The plain model has the exact one, z Phi(z). The two differ by less than 0.0005 everywhere.

Suggested settings: none to set. It is what GPT-2 and llm.c have; nanoGPT has the exact form.
When it hurts / conflicts: nothing else may claim the activation. No difference in loss is expected; it is here so that
a recipe can be repeated as it is.
Source: Hendrycks & Gimpel 2016, arXiv:1606.08415; Radford et al. 2019 (GPT-2); llm.c.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class TanhGELU(nn.Module):
    """The approximation, number by number, over (B, T, width)."""

    inputs = 1

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, hidden: Tensor) -> Tensor:
        return F.gelu(hidden, approximate="tanh")


class TanhGelu(Plugin):
    @hookimpl
    def make_activation(self, at: Site, width: int) -> nn.Module:
        return TanhGELU(width)
