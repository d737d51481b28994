"""Let Muon, and what goes around it, move the small maps that make gates, as it moves matrices.

Gates of attention (of heads, of looked-up values) and routers of a mixture become matrices to the optimizer: they get
its orthogonal updates, at `lr` times the matrices' learning rate, and their weight decay. How they start is as before.

Suggested settings: lr 0.1 with NorMuon, as the medium track has it for attention; 1 in records 28 to 55.
When it hurts / conflicts: a gate of (heads, 12) numbers has a few directions only, and all of them are stepped along
alike. Newer records moved gates back to Adam. It waits for a technique with gates, which the plain model has none of.
Source: modded-nanogpt records 28 to 55 and its medium track; routers: NanoPoor.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat

from coregpt.api import ParamInfo, ParamRule, Plugin, hookimpl


class MuonGates(Plugin):
    """Gives parameters another role."""

    requires: ClassVar[tuple[str, ...]] = ("muon",)

    lr: PositiveFloat = 0.1
    """Multiplies the learning rate that Muon gives its matrices."""
    of: Annotated[tuple[Literal["attention", "mlp"], ...], Field(min_length=1)] = ("attention", "mlp")
    """The branches whose gates are moved so."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        meant = param.role == "gate" and len(param.shape) == 2 and set(self.of) & set(param.path.split("."))
        return ParamRule(role="matrix", lr=self.lr) if meant else None
