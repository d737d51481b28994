"""Orthogonalise the matrices of queries, keys and values of a layer as the one matrix they would be if merged.

    [U_q; U_k; U_v] = sqrt(max(1, 3 r / c)) polar([u_q; u_k; u_v])      u the (r, c) matrices that Muon would take alone

Merging them is done for speed; with an optimizer that looks at whole matrices it changes the numbers as well: the three
share one budget of singular values, so what one of them moves more the others move less. Everything else stays.

Suggested settings: none to set. A polar factor of three times the rows has sqrt(3) times the size, shared by three:
each moves about as far as alone.
When it hurts / conflicts: only where all three have one shape: grouped keys and narrow heads are left as they are. Not
with `muon_grouping`, which cuts the same matrices smaller. Every rank computes the factors of all layers. Muon's author
advises against it.
Source: Jordan et al. 2024 (Muon), on transformers that merge the three; modded-nanogpt record 20 merges the weights and
still lets Muon see three.
"""

import math
from collections.abc import Generator
from typing import Any, ClassVar

from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.members import Members, beside
from pydantic import PrivateAttr
from torch import Tensor

from coregpt.api import Companion, ParamGroup, Plugin, RunView, UpdateRule, hookimpl


class MergedQkv(Plugin):
    """Goes around Muon's polar factor of three matrices."""

    after: ClassVar[tuple[str, ...]] = ("aurora", "contra_muon", "muon", "schatten_norm", "soft_muon", "tempered_polar")
    conflicts: ClassVar[tuple[str, ...]] = ("muon_grouping",)
    requires: ClassVar[tuple[str, ...]] = ("muon",)

    _rules: list["Merged"] = PrivateAttr(default_factory=list)

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        triples = beside(group, ("q", "k", "v"))
        if group.role != "matrix" or not triples:
            return rule
        self._rules.append(Merged(rule, group, triples))
        return self._rules[-1]

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        for rule in self._rules:
            rule.members.all_reduce = run.all_reduce
        return None


class Merged(AroundPolar):
    """Muon's rule with one polar factor for the q, k and v of a layer."""

    rest: list[int] | None = None
    """Which of this rank's rows are none of these, once rows have been seen."""

    def __init__(self, inner: UpdateRule, group: ParamGroup, triples: list[list[int]]):
        super().__init__(inner)
        self.members, self.places = Members(group), [place for triple in triples for place in triple]

    def polar(self, u: Tensor) -> Tensor:
        dials, (rows, columns) = self.now.dials, u.shape[-2:]
        together = self.members.all(u, dials)[self.places].view(-1, 3 * rows, columns)
        # Muon multiplies by the factor of one matrix alone afterwards.
        scale = math.sqrt(max(1.0, 3 * rows / columns) / max(1.0, rows / columns))
        factors = u.new_zeros((self.members.count, rows, columns))
        factors[self.places] = self.plain(together).reshape(-1, rows, columns) * scale
        found = self.members.mine(factors, dials)
        if rest := self.others(dials["rows"]):
            found[rest] = self.plain(u[rest])
        return found

    def others(self, rows: Any) -> list[int]:
        if self.rest is None:
            self.rest = [number for number, row in enumerate(rows.tolist()) if row not in self.places]
        return self.rest
