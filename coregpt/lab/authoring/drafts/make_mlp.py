"""An MLP of two linear maps with SiLU between them.

Suggested settings: the default has as many parameters as core's MLP.
When it hurts / conflicts: another MLP at the same place; techniques that answer `make_activation` are not asked.
Source: name the paper your idea comes from; replace this card by yours.
"""

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class Own(nn.Module):
    """down(silu(up(x))) of `width` hidden channels."""

    def __init__(self, at: Site, width: int):
        super().__init__()
        self.up = at.linear("up", at.shape.dim, width)
        self.down = at.linear("down", width, at.shape.dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return self.down(F.silu(self.up(x)))


class Draft(Plugin):
    width: PositiveFloat = 4.0
    """Hidden channels, as a multiple of the model's width."""

    @hookimpl
    def make_mlp(self, at: Site) -> nn.Module:
        return Own(at, round(self.width * at.shape.dim))
