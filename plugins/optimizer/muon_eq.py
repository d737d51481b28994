"""Give every row of the averaged gradient the same length before it is orthogonalised.

With u what Muon would orthogonalise: O = polar(u / |row of u|), a row of zeros left as it is.

Suggested settings: with muon as it is.
When it hurts / conflicts: rows that hardly learn count as much as those that do. `aurora` does the same to the longer
side of rectangular matrices, and more; `normuon` works on what comes out.
Source: modded-nanogpt optimization track, after record 46 (`muon_eq`).
"""

from collections.abc import Generator
from typing import ClassVar

from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import is_matrix
from torch import Tensor

from coregpt.api import ParamGroup, Plugin, UpdateRule, hookimpl


class MuonEq(Plugin):
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

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return EqualRows(rule) if is_matrix(group) else rule


class EqualRows(AroundPolar):
    """Muon's rule on rows of one length."""

    def polar(self, u: Tensor) -> Tensor:
        return self.plain(u / u.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-20))
