"""Square the ReLU inside the MLP.

`mlp(x) = W_down( max(W_up x, 0)^2 )`: exactly zero for negative inputs, with a derivative `2 max(z, 0)` that
has no jump. No parameters; cheaper than GELU.

Suggested settings: none to set.
When it hurts / conflicts: nothing else may claim the activation. The MLP is homogeneous of degree 2 in its
input, so it needs a normalised one (pre-norm, the default, gives it).
Source: So et al. 2021 (Primer), arXiv:2109.08668; modded-nanogpt record 5.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class SquaredReLU(nn.Module):
    """max(z, 0)^2 over (B, T, width)."""

    inputs = 1

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, hidden: Tensor) -> Tensor:
        return F.relu(hidden).square()


class Relu2(Plugin):
    @hookimpl
    def make_activation(self, at: Site, width: int) -> nn.Module:
        return SquaredReLU(width)
