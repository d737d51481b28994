"""Gate the MLP: one projection passes through SiLU and multiplies another.

`mlp(x) = W_down( (W_up x) * silu(W_gate x) )`. Three matrices instead of two, so the hidden width shrinks to
`floor(2/3 width)` of the ungated MLP's: parameters and FLOPs stay the same up to rounding. An explicit
`model.hidden` is taken as it is, and then the MLP has half again as many parameters.

Suggested settings: none to set; leave `model.hidden` empty when comparing against an ungated MLP.
When it hurts / conflicts: nothing else may claim the activation.
Source: Shazeer 2020, arXiv:2002.05202.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class Gated(nn.Module):
    """up * silu(gate), both (B, T, width)."""

    inputs = 2

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, up: Tensor, gate: Tensor) -> Tensor:
        return up * F.silu(gate)


class Swiglu(Plugin):
    @hookimpl
    def make_activation(self, at: Site, width: int) -> nn.Module:
        return Gated(width if at.shape.hidden else 2 * width // 3)
