"""Let each token's embedding look one token back.

With e_t the embedding of token t, before positions and norms, and n = `channels`:

    e_t <- e_t + lambda sigmoid(w . e_t[:n]) e_(t-1)       t >= 1; the first token stays, e_(t-1) is the unsmeared one

lambda is one number, zero at first, so that training starts as without it; w is a row of n weights, zero at first,
and does not decay. Attention then need not spend a head on the token before.

Suggested settings: 12 channels, lr 5 and gate_lr 0.01 (the record's, on top of a small Adam rate); 16 channels and a
larger model in the medium track.
When it hurts / conflicts: it looks back over the start of a document too, document mask or not. Sums leave the unit
sphere, so not with nGPT.
Source: modded-nanogpt record 34.
"""

from collections.abc import Generator
from typing import ClassVar

import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl


class Smeared(nn.Module):
    """`inner`'s vectors (B, T, dim), each with a share of the one before."""

    def __init__(self, at: Site, inner: nn.Module, channels: int, init: float):
        super().__init__()
        self.inner, self.channels = inner, channels
        self.share = at.scale("lambda", (), init)
        self.gate = at.linear("gate", channels, 1, role="gate", std=0.0)

    def forward(self, tokens: Tensor, ctx: Context) -> Tensor:
        e: Tensor = self.inner(tokens, ctx)
        back = self.share * self.gate(e[:, 1:, : self.channels]).sigmoid() * e[:, :-1]
        return e + F.pad(back, (0, 0, 1, 0))


class Smear(Plugin):
    """Wraps the embedding; adds one scalar and one gate."""

    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)

    channels: PositiveInt = 12
    """How many channels of the embedding the gate reads."""
    init: float = 0.0
    """lambda at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of lambda."""
    gate_lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of the gate."""

    @hookimpl(wrapper=True)
    def make_embedding(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        if self.channels > at.shape.dim:
            raise PluginError(f"smear: channels ({self.channels}) exceeds model.dim ({at.shape.dim})")
        return Smeared(at.child("smear"), inner, self.channels, self.init)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if param.path == "embedding.smear.lambda":
            return ParamRule(lr=self.lr, weight_decay=0.0)
        return ParamRule(lr=self.gate_lr, weight_decay=0.0) if param.path == "embedding.smear.gate.weight" else None
