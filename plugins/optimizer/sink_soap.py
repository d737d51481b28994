"""Balance the averaged gradient in Shampoo's eigenbases, so that all of its rows and columns carry the same there.

With u what Muon would orthogonalise (r, c), L and R the averages of G G^T and G^T G and U, V their eigenvectors:

    A = U^T u V,    B = A^2 / mean(A^2) + 1e-8
    ten times:      a = (1 / r) / (B b + 1e-8),     b = (1 / c) / (B^T a + 1e-8)        b = 1 at first
    O = U (sqrt(a) A sqrt(b)) V^T,  with the Frobenius norm sqrt(min(r, c)) of an orthogonal matrix

It stands in for the polar factor: instead of every singular value, every row and column of squares sums to the same.

Suggested settings: beta 0.95, with muon at lr 0.04 and weight_decay 0.025.
When it hurts / conflicts: two eigendecompositions in every step. Other techniques around the polar factor act on
what comes of this one, or before it; those that need Muon's own steps exclude it.
Source: modded-nanogpt optimization track, record 26. There rectangular matrices go through NorMuon (0.95) afterwards
and square ones do not; `normuon` beside it takes all. B there is A^2 of summed gradients, here it is relative.
"""

from collections.abc import Generator
from typing import ClassVar

import coregpt_plugins._shared.eigenbasis as eigen
import torch
from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import frobenius, is_matrix
from pydantic import Field
from torch import Tensor

from coregpt.api import ParamGroup, Plugin, UpdateRule, hookimpl

PASSES = 10


class SinkSoap(Plugin):
    """Takes the place of Muon's orthogonalisation."""

    after: ClassVar[tuple[str, ...]] = ("muon",)
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    conflicts: ClassVar[tuple[str, ...]] = ("aurora", "muon_grouping", "schatten_norm", "soap_muon")
    rounding_sensitive: ClassVar[str] = "eigenvectors whose eigenvalues are close turn with the last bit of a gradient"

    beta: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the averages."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Balanced(rule, self.beta) if is_matrix(group) else rule


class Balanced(AroundPolar):
    """Muon's rule with a balanced matrix instead of an orthogonal one. State: averages and eigenvectors."""

    def __init__(self, inner: UpdateRule, beta: float):
        super().__init__(inner)
        self.beta = beta

    def added(self, p: Tensor) -> dict[str, Tensor]:
        return eigen.room(p, max(p.shape))

    def polar(self, u: Tensor) -> Tensor:
        state = self.now.state
        eigen.gather(self.now.g, state, self.beta)
        for side in eigen.sides(state):
            state[f"{side}_basis"].copy_(torch.linalg.eigh(state[f"{side}_statistic"])[1].flip(-1))
        inside = eigen.turned(u, state)
        size = inside.square().mean((-2, -1), keepdim=True).sqrt()
        result = eigen.turned(balanced(inside / size.clamp(min=1e-20)), state, back=True)
        return result * (min(u.shape[-2:]) ** 0.5 / frobenius(result).clamp(min=1e-10))


def balanced(a: Tensor) -> Tensor:
    """A (n, ..., r, c) with rows and columns scaled so that those of its squares sum to 1 / r and 1 / c."""
    squares, (rows, columns) = a.square() + 1e-8, a.shape[-2:]
    right = torch.ones_like(a[..., :1, :])
    for _ in range(PASSES):
        left = (1 / rows) / ((squares * right).sum(-1, keepdim=True) + 1e-8)
        right = (1 / columns) / ((squares * left).sum(-2, keepdim=True) + 1e-8)
    return a * left.sqrt() * right.sqrt()
