"""Let the last vectors look one token back, just before the final norm.

    x_t <- x_t + share x_(t-1)      t >= 1; x_0 stays

share is one learned number, zero at first, so that training starts as without it; it does not decay.

Suggested settings: none to set.
When it hurts / conflicts: it looks back over the start of a document too, document mask or not. Sums leave the unit
sphere, so not with nGPT.
Source: modded-nanogpt, medium track, record 16 (there called Smear-MTP).
"""

from collections.abc import Generator
from typing import ClassVar

import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import ParamInfo, ParamRule, Plugin, Site, hookimpl


class SmearBeforeHead(Plugin):
    """Goes around the final norm; adds one scalar."""

    after: ClassVar[tuple[str, ...]] = ("layernorm", "rmsnorm_gain")
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)

    init: float = 0.0
    """share at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of share."""

    @hookimpl(wrapper=True)
    def make_norm(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return Smeared(at, inner, self.init) if at.name == "final_norm" else inner

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(lr=self.lr, weight_decay=0.0) if param.path == "final_norm.smear_share" else None


class Smeared(nn.Module):
    """The norm `inner` of x (B, T, dim) with a share of the token before added."""

    def __init__(self, at: Site, inner: nn.Module, init: float):
        super().__init__()
        self.inner = inner
        self.share = at.scale("smear_share", (), init)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x + self.share * F.pad(x[:, :-1], (0, 0, 1, 0)))
        return y
