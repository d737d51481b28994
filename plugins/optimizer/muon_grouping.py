"""Orthogonalise queries' and keys' matrices head by head, or a few heads at a time, instead of all heads together.

A projection (H D, dim) is cut in slices of `heads` heads, (heads D, dim) each; every slice has its own polar factor and
its own factor sqrt(max(1, rows / columns)). Everything else stays with Muon.

Suggested settings: 2 heads of q and k (record 80: slices of 256 of 768 rows).
When it hurts / conflicts: heads no longer share the budget of one update, so heads that hardly learn move as far as
others. Which matrices stand in one stack is told by a label, so not with another plugin that labels the same ones, nor
with attentions whose heads have another width or whose keys have fewer. The other way to group, q, k and v in one
matrix, is `merged_qkv`.
Source: modded-nanogpt record 80.
"""

import math
from collections.abc import Generator
from typing import Annotated, ClassVar, Literal

from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import is_matrix
from pydantic import Field, PositiveInt
from torch import Tensor

from coregpt.api import ParamGroup, ParamInfo, ParamRule, Plugin, PluginError, UpdateRule, hookimpl

LABEL = "muon_grouping"


class MuonGrouping(Plugin):
    """Goes around Muon's polar factor of some matrices, which it labels."""

    after: ClassVar[tuple[str, ...]] = ("aurora", "contra_muon", "muon", "schatten_norm", "soft_muon", "tempered_polar")
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    conflicts: ClassVar[tuple[str, ...]] = ("gqa", "mla_nsa_hybrid", "narrow_qk", "sparse")

    heads: PositiveInt = 2
    """Heads of one slice."""
    of: Annotated[tuple[Literal["q", "k", "v"], ...], Field(min_length=1)] = ("q", "k")
    """Projections that are cut."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        parts = param.path.split(".")
        meant = param.role == "matrix" and "attention" in parts and parts[-2:-1] and parts[-2] in self.of
        return ParamRule(label=LABEL) if meant else None

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        if group.label != LABEL or not is_matrix(group):
            return rule
        rows, slice_rows = group.shape[-2], self.heads * group.model.head_dim
        if rows % slice_rows:
            raise PluginError(
                f"muon_grouping: '{group.paths[0]}' has {rows} rows, which are no multiple of {self.heads} heads of"
                f" {group.model.head_dim}"
            )
        return InSlices(rule, slice_rows)


class InSlices(AroundPolar):
    """Muon's rule with a polar factor per slice of `rows` rows."""

    def __init__(self, inner: UpdateRule, rows: int):
        super().__init__(inner)
        self.rows = rows

    def polar(self, u: Tensor) -> Tensor:
        total, columns = u.shape[-2:]
        slices = u.unflatten(-2, (total // self.rows, self.rows))
        # Muon multiplies by the factor of the whole matrix afterwards.
        scale = math.sqrt(max(1.0, self.rows / columns) / max(1.0, total / columns))
        return self.plain(slices).flatten(-3, -2) * scale
