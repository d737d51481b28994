"""Let Muon's updates keep a power of the singular values: a little more of them at first, the inverse later.

With H what Muon would orthogonalise, as heavy-ball momentum has it (H = u / (1 - mu)), q the share of the run that has
passed and d = p / 2, for a wide matrix, a taller one transposed:

    X = H / (|H| + 1e-7),  E = X X^T - I,  C = I + d E + d (d - 1) E^2 / 2
    O = C polar(X) (|H| + 1e-7)^p           p = early + (late - early) / (1 + exp((center - q) / width))

C is the second-order expansion of (X X^T)^d around I, so that singular values come to about sigma^p.

Suggested settings: the defaults, with muon at lr 0.02 and weight_decay 0.025.
When it hurts / conflicts: the expansion is good only near singular values of one, and |H|^p moves the learning rate
with the size of the gradients (here means over the batch, clipped by core). H is exact while mu is constant.
Source: modded-nanogpt optimization track, record 28, whose text lets p start at 0.25; its own formula starts at 0.116.
"""

import math
from collections.abc import Generator
from typing import Any, ClassVar

import torch
from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import frobenius, is_matrix
from pydantic import Field, PositiveFloat
from torch import Tensor

from coregpt.api import Clock, ParamGroup, Plugin, Schedule, UpdateRule, hookimpl

DIAL = "dynmuon.power"


class Dynmuon(Plugin):
    """Goes around Muon's polar factor; adds a dial."""

    after: ClassVar[tuple[str, ...]] = (
        "aurora",
        "contra_muon",
        "muon",
        "schatten_norm",
        "sink_soap",
        "soft_muon",
        "tempered_polar",
    )
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    neutral: ClassVar[dict[str, Any] | None] = {"early": 0.0, "late": 0.0}

    early: float = Field(default=0.25, ge=-1, le=1)
    """p before all of the curve."""
    late: float = Field(default=-0.25, ge=-1, le=1)
    """p in the end."""
    center: float = 0.04
    """Share of the run where p is half way."""
    width: PositiveFloat = 0.04
    """How slowly it turns, as a share of the run."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule] | None:
        return {DIAL: self.level} if self.early or self.late else None

    def level(self, clock: Clock) -> float:
        """p at `clock.step`."""
        turned = (clock.progress - self.center) / self.width
        return self.early + (self.late - self.early) * (1 + math.tanh(turned / 2)) / 2  # the logistic, without overflow

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Powered(rule) if (self.early or self.late) and is_matrix(group) else rule


class Powered(AroundPolar):
    """Muon's rule with singular values near sigma^p."""

    def polar(self, u: Tensor) -> Tensor:
        power, mu = self.now.dials[DIAL], self.now.dials.get("momentum", self.muon.options.momentum)
        heavy, tall = u / (1 - mu), u.shape[-2] > u.shape[-1]
        size = frobenius(heavy) + 1e-7
        x = heavy / size
        plain, x = self.plain(x), (x.mT if tall else x)
        error = x @ x.mT - torch.eye(x.shape[-2], dtype=x.dtype, device=x.device)
        half = power / 2
        first = error @ (plain.mT if tall else plain)
        bent = (plain.mT if tall else plain) + half * first + half * (half - 1) / 2 * (error @ first)
        return (bent.mT if tall else bent) * size**power
