"""Divide the averaged gradient by the root of Adam's second moment before it is orthogonalised.

With u what Muon would orthogonalise, entry by entry:

    v <- beta2 v + (1 - beta2) G^2          zero at first, no bias correction
    O = polar(u / (sqrt(v) + 1e-10))

Suggested settings: beta2 0.95, with muon at lr 0.1 and weight_decay 0.0125 (record 7).
When it hurts / conflicts: one more state per weight. Published from a single run.
Source: modded-nanogpt optimization track, record 7.
"""

from collections.abc import Generator
from typing import ClassVar

from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import is_matrix
from pydantic import Field
from torch import Tensor

from coregpt.api import ParamGroup, Plugin, UpdateRule, hookimpl


class MuonSquared(Plugin):
    """Goes around Muon's polar factor."""

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

    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of v."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Divided(rule, self.beta2) if is_matrix(group) else rule


class Divided(AroundPolar):
    """Muon's rule on what Adam would make of the gradient; state v."""

    def __init__(self, inner: UpdateRule, beta2: float):
        super().__init__(inner)
        self.beta2 = beta2

    def added(self, p: Tensor) -> dict[str, Tensor]:
        return {"muon_squared_v": p.new_zeros(p.shape)}

    def polar(self, u: Tensor) -> Tensor:
        v = self.now.state["muon_squared_v"]
        v.lerp_(self.now.g.square(), 1 - self.beta2)
        return self.plain(u / (v.sqrt() + 1e-10))
