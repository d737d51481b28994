"""Multiply the logits by a learned number.

Suggested settings: the default.
When it hurts / conflicts: nothing known.
Source: name the paper your idea comes from; replace this card by yours.
"""

from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class Scaled(nn.Module):
    """logits <- s logits."""

    def __init__(self, at: Site, start: float):
        super().__init__()
        self.scale = at.scale("scale", (1,), start)

    def forward(self, logits: Tensor, ctx: Context) -> Tensor:
        return logits * self.scale


class Draft(Plugin):
    start: float = 1.0
    """The number at first."""

    @hookimpl
    def add_logit_transforms(self, at: Site) -> nn.Module:
        # Every technique's transforms hang on one site, so what is inside needs a name of its own.
        return Scaled(at.child("draft"), self.start)
