"""Balance what values and outputs of a head learn: each moves as the other is large, and neither outgrows the other.

The product W_O,h W_V,h is what a head writes; scaling one up and the other down changes nothing. With D the width of a
head, V = W_V,h its rows of the values' matrix, O = W_O,h its columns of the output's, dV and dO their updates:

    s_V = (|V|^2 / D + damping)^-1/2,    s_O likewise
    dV <- s_O dV,    dO <- s_V dO        then all heads' dV together get the length they had, and so does dO
    x = (<V, dV> - <O, dO>) / (|V|^2 + |O|^2 + 2 D damping),    dV <- dV - x V,    dO <- dO + x O

Afterwards <V, dV> - <O, dO> is about zero: the step leaves |V|^2 - |O|^2 as it was, in first order.

Suggested settings: the default, with muon and normuon (record 41).
When it hurts / conflicts: removed again in record 44, where it was worth nothing. It needs both matrices in one stack:
layers whose values and outputs differ in shape (grouped keys, latent attention) are left as they are. Ranks exchange
their updates of all matrices of that shape.
Source: modded-nanogpt optimization track, record 41.
"""

from collections.abc import Generator
from typing import ClassVar

import torch
from coregpt_plugins._shared.members import Members, beside
from pydantic import NonNegativeFloat, PrivateAttr
from torch import Tensor

from coregpt.api import Companion, Dials, ParamGroup, Plugin, PluginError, RunView, UpdateRule, hookimpl


class CircuitMuon(Plugin):
    """Wraps the updates of matrices."""

    after: ClassVar[tuple[str, ...]] = ("muon", "newton_muon", "normuon", "update_smoothing")
    requires: ClassVar[tuple[str, ...]] = ("muon",)

    damping: NonNegativeFloat = 1e-3
    """Added to mean squares of a head's rows; keeps small ones from scaling their partner up without bounds."""

    _rules: list["Balanced"] = PrivateAttr(default_factory=list)

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        pairs = beside(group, ("v", "out"))
        if group.role != "matrix" or not pairs or group.shape[0] % group.model.heads:
            return rule
        self._rules.append(Balanced(rule, group, pairs, self.damping))
        return self._rules[-1]

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        for rule in self._rules:
            rule.members.all_reduce = run.all_reduce
        known = {path for rule in self._rules for path in rule.paths}
        for path in run.params:
            out = f"{path.removesuffix('v.weight')}out.weight"
            pair = path.endswith("attention.v.weight") and out in run.params
            if pair and path not in known and run.params[path].shape == run.params[out].shape:
                raise PluginError(
                    f"circuit_muon moves '{path}' and '{out}' together, and another technique (muon_grouping of v, say)"
                    " has put one of them in a group of its own"
                )
        return None


class Balanced:
    """The update rule `inner`, with values' and outputs' updates balanced head by head."""

    def __init__(self, inner: UpdateRule, group: ParamGroup, pairs: list[list[int]], damping: float):
        self.inner, self.members, self.heads, self.damping = inner, Members(group), group.model.heads, damping
        self.lr, self.weight_decay = inner.lr, inner.weight_decay
        self.v, self.out = ([pair[i] for pair in pairs] for i in (0, 1))
        self.paths = [group.paths[place] for place in self.v]

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        moves = self.members.all(self.inner.direction(p, g, state, dials), dials)
        weights = self.members.all(p, dials)
        (v, o), (dv, do) = ((self.by_head(all_[self.v]), self.by_head(all_[self.out].mT)) for all_ in (weights, moves))
        damping = v.shape[-2] * self.damping  # of sums over a head's rows
        scale = v.shape[-2] ** 0.5
        by_o, by_v = (scale * (product(w, w) + damping).rsqrt() for w in (o, v))
        dv, do = as_long(dv * by_o, dv), as_long(do * by_v, do)
        x = (product(v, dv) - product(o, do)) / (product(v, v) + product(o, o) + 2 * damping)
        moves[self.v] = (dv - x * v).flatten(1, 2)
        moves[self.out] = (do + x * o).flatten(1, 2).mT
        return self.members.mine(moves, dials)

    def by_head(self, rows: Tensor) -> Tensor:
        """(layers, H D, dim) as (layers, H, D, dim)."""
        return rows.unflatten(1, (self.heads, -1))


def product(x: Tensor, y: Tensor) -> Tensor:
    """<x, y> of every head, (layers, H, 1, 1)."""
    return (x * y).sum((-2, -1), keepdim=True)


def as_long(x: Tensor, like: Tensor) -> Tensor:
    """x (layers, H, D, dim) with the length that `like` has over all heads of a layer."""
    long, short = (torch.linalg.vector_norm(each, dim=(1, 2, 3), keepdim=True) for each in (like, x))
    return x * (long / short.clamp(min=1e-30))
