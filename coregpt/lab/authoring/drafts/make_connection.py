"""Weigh what a branch adds to the residual stream by a factor of its own, learned.

Suggested settings: the default.
When it hurts / conflicts: whatever else replaces the connection at one place.
Source: name the paper your idea comes from; replace this card by yours.
"""

from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class Weighed(nn.Module):
    """write(x, y) = x + w y with one learned number w per branch."""

    def __init__(self, at: Site, start: float):
        super().__init__()
        self.weight = at.scale("weight", (1,), start)

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        return x

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        return x + self.weight * y


class Draft(Plugin):
    start: float = 1.0
    """The weight of every branch at first."""

    @hookimpl
    def make_connection(self, at: Site) -> nn.Module:
        return Weighed(at, self.start)
