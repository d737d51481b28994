"""Halve the part of an update that makes its matrix larger, and set the radius after the step.

With U the update of a matrix W, Frobenius products and norms of the whole matrix:

    k = <U, W> / max(|W|^2, 1e-12)
    U <- U - (1 - brake) k W      where k < 0: the step would make W larger; else U stays
    W <- V max(|W| - lr <U, W> / |W|, 1e-8) / |V|      with V = W - lr U

In first order a step changes |W| by its radial part alone; without the last line the part of U across W would lengthen
W as well. What decays (`cautious_wd`, or plain) is subtracted after that, from the W that has its radius.

Suggested settings: brake 0.5, with muon, `uw_floor` at 0.3825 and a `cautious_wd` of 0.025 (record 46).
When it hurts / conflicts: other rules for the norm of a matrix (hyperball, muown, ngpt, psgd_kron). A matrix of zeros
loses its first step: after it, it has the norm 1e-8 and the direction of that step.
Source: modded-nanogpt optimization track, records 29 to 46; the order of brake, floor, radius and decay is record 46's.
"""

from collections.abc import Generator
from typing import ClassVar

from coregpt_plugins._shared.matrices import frobenius, is_matrix
from torch import Tensor

from coregpt.api import DecayRule, Dials, ParamGroup, Plugin, Share, UpdateRule, hookimpl


class RadialBrake(Plugin):
    """Wraps updates and decay of matrices."""

    after: ClassVar[tuple[str, ...]] = (
        "cautious_adam",
        "cautious_wd",
        "langevin_noise",
        "muon",
        "normuon",
        "wd_schedule",
    )
    conflicts: ClassVar[tuple[str, ...]] = ("muown", "ngpt", "psgd_kron")

    brake: Share = 0.5
    """What is left of the part that makes a matrix larger."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Braked(rule, self.brake) if is_matrix(group) else rule

    @hookimpl(wrapper=True)
    def make_decay(self, group: ParamGroup) -> Generator[None, DecayRule, DecayRule]:
        rule = yield
        return AtRadius(rule) if is_matrix(group) else rule


def product(x: Tensor, y: Tensor) -> Tensor:
    """<x, y> of every two matrices, as (n, ..., 1, 1)."""
    return (x * y).sum((-2, -1), keepdim=True)


class Braked:
    """The update rule `inner` with less of what makes matrices larger."""

    def __init__(self, inner: UpdateRule, brake: float):
        self.inner, self.brake = inner, brake
        self.lr, self.weight_decay = inner.lr, inner.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        update = self.inner.direction(p, g, state, dials)
        share = product(update, p) / product(p, p).clamp(min=1e-12)
        return update - (1 - self.brake) * share.clamp(max=0) * p


class AtRadius:
    """Sets the radius of W - lr U, then takes the decay `inner` of that."""

    def __init__(self, inner: DecayRule):
        self.inner = inner

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        moved, size = p - lr * update, frobenius(p)
        radius = (size - lr * product(update, p) / size.clamp(min=1e-6)).clamp(min=1e-8)
        placed = moved * (radius / frobenius(moved).clamp(min=1e-10))
        return moved - placed + self.inner.amount(placed, update, lr, weight_decay, dials)
