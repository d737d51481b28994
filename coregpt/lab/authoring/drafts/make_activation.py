"""Swish: the hidden channel times a sigmoid of it.

Suggested settings: sharpness 1 is SiLU; large values come close to ReLU.
When it hurts / conflicts: another activation at the same place.
Source: Ramachandran et al. 2017, arXiv:1710.05941; replace this card by yours.
"""

from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class Swish(nn.Module):
    """h <- h sigmoid(sharpness h)."""

    inputs = 1
    """2 would get `up(x)` and `gate(x)`."""

    def __init__(self, width: int, sharpness: float):
        super().__init__()
        self.width, self.sharpness = width, sharpness

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden * (self.sharpness * hidden).sigmoid()


class Draft(Plugin):
    sharpness: PositiveFloat = 1.0
    """How fast a channel opens."""

    @hookimpl
    def make_activation(self, at: Site, width: int) -> nn.Module:
        return Swish(width, self.sharpness)
