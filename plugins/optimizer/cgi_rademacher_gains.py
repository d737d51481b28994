"""Let the gains of norms start at random: a little above 1 in some channels, as much below in the others.

With signs s in {-1, 1}^dim for each layer:

    gain before attention = 1 - size s,    gain before the MLP = 1 + size s

From layer `pairs_from` on two layers draw together: the first one draws s, and in every block of channels as wide as a
head the number of +1 goes half of the way to half of the block; the second one draws a sign vector that has as many
-1 in every block, so that the two cancel there on average.

Suggested settings: size 0.125 and pairs from layer 6 of 12 (records 44 to 46); 0.14 without pairs (record 41).
When it hurts / conflicts: the benchmark's own notes call it unproven, and record 42 went without. Another initial value
of the same gains is multiplied. Which channels change sign to reach the number is not recorded; here it is those whose
random number is next.
Source: modded-nanogpt optimization track, records 41 to 46.
"""

from typing import Any, ClassVar

import torch
from pydantic import NonNegativeInt, PrivateAttr
from torch import Tensor

from coregpt.api import Noise, ParamInfo, ParamRule, Plugin, RunView, Share, hookimpl, uniform

SIGNS = {"attention": -1.0, "mlp": 1.0}


class CgiRademacherGains(Plugin):
    """Gives gains first values."""

    after: ClassVar[tuple[str, ...]] = ("rmsnorm_gain",)
    requires: ClassVar[tuple[str, ...]] = ("rmsnorm_gain",)
    neutral: ClassVar[dict[str, Any] | None] = {"size": 0.0}

    size: Share = 0.125
    """How far from 1 gains start."""
    pairs_from: NonNegativeInt | None = None
    """First layer that draws together with the next. Empty: half of the depth."""

    _seed: list[int] = PrivateAttr(default_factory=lambda: [0])
    """The run's, which parameters are not told."""

    @hookimpl
    def add_schedules(self, run: RunView) -> None:
        """Asked before there is a model: the moment to learn the seed. There is no schedule."""
        self._seed[0] = run.seed

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        branch = next((name for name in SIGNS if param.path.endswith(f".{name}.pre.norm_gain")), None)
        if branch is None or param.layer is None or not self.size:
            return None
        return ParamRule(init=lambda gain: gain * (1 + SIGNS[branch] * self.size * self.signs(param).to(gain)))

    def signs(self, param: ParamInfo) -> Tensor:
        """s of a layer, (dim,)."""
        assert param.layer is not None
        model = param.model
        place = param.layer - (model.depth // 2 if self.pairs_from is None else self.pairs_from)
        leader = param.layer - place % 2
        numbers = self.drawn(param.layer, model.dim)
        if place < 0 or leader + 1 == model.depth:  # alone
            return torch.where(numbers < 0.5, 1.0, -1.0)
        half, blocks = model.head_dim // 2, (-1, model.head_dim)
        drawn = (self.drawn(leader, model.dim) < 0.5).view(blocks).sum(1, keepdim=True)
        many = half + (drawn - half).div(2, rounding_mode="trunc")
        if param.layer != leader:
            many = model.head_dim - many
        order = numbers.view(blocks).argsort(1).argsort(1)
        return torch.where(order < many, 1.0, -1.0).flatten()

    def drawn(self, layer: int, dim: int) -> Tensor:
        """Random numbers in [0, 1) of one layer, (dim,)."""
        noise = Noise.of(self._seed[0], f"cgi_rademacher_gains.{layer}")
        return uniform(noise, torch.zeros(1, dtype=torch.long), (1, dim))[0]
