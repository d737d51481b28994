"""Scale a matrix by its Schatten-4 norm instead of its Frobenius norm before Newton-Schulz.

    X = u / (sum of sigma^4)^(1/4),  then Muon's own steps

The Schatten-4 norm is no less than the largest singular value, so X lies in the region where the steps converge, and no
more than the Frobenius norm, so small singular values start larger and come closer to one in as many steps.

Suggested settings: with muon's `polar: ns12`, as in records 44 to 46.
When it hurts / conflicts: nothing known. One more small product per step.
Source: modded-nanogpt optimization track, records 44 to 46.
"""

from collections.abc import Generator
from typing import ClassVar

from coregpt_plugins._shared.around_polar import AroundPolar, iterates
from coregpt_plugins._shared.matrices import frobenius, is_matrix, schatten4
from torch import Tensor

from coregpt.api import ParamGroup, Plugin, UpdateRule, hookimpl


class SchattenNorm(Plugin):
    """Takes the place of Muon's orthogonalisation."""

    after: ClassVar[tuple[str, ...]] = ("muon",)
    requires: ClassVar[tuple[str, ...]] = ("muon",)

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Scaled(rule) if is_matrix(group) else rule


class Scaled(AroundPolar):
    """Muon's rule with another scale."""

    def polar(self, u: Tensor) -> Tensor:
        u = u / (frobenius(u) + 1e-20)  # fourth powers of small gradients would vanish in fp32
        return iterates(u / (schatten4(u) + 1e-7), self.muon.factors)[-1]
