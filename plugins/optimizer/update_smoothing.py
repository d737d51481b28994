"""Average Muon's orthogonalised updates as well as the gradients that they are made of.

With O the polar factor:

    S <- beta S + (1 - beta) O          zero at first, no bias correction
    O <- beta S + (1 - beta) O          `blend`, or S itself

beta goes linearly from `first` to `last` until `until` and stays there.

Suggested settings: blend, 0.5 to 0.2 over 0.53 of the run (medium track, record 13); S itself with 0.2 all along beside
`snoo` (record 14).
When it hurts / conflicts: S itself is too short in the first steps. One more state per weight; the source keeps it in
bf16, here it has the precision of the weights.
Source: modded-nanogpt medium track, records 13 and 14.
"""

from collections.abc import Generator
from typing import Any, ClassVar, Literal

from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import is_matrix
from coregpt_plugins._shared.ramps import risen
from pydantic import Field
from torch import Tensor

from coregpt.api import Clock, ParamGroup, Plugin, Schedule, Span, UpdateRule, hookimpl

DIAL = "update_smoothing.beta"


class UpdateSmoothing(Plugin):
    """Goes around Muon's polar factor; adds a dial."""

    after: ClassVar[tuple[str, ...]] = (
        "aurora",
        "contra_muon",
        "dynmuon",
        "k_maxwell",
        "merged_qkv",
        "muon",
        "muon_eq",
        "muon_grouping",
        "muon_squared",
        "pmuon",
        "schatten_norm",
        "sink_soap",
        "soap_muon",
        "soft_muon",
        "tempered_polar",
    )
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    neutral: ClassVar[dict[str, Any] | None] = {"first": 0.0, "last": 0.0}

    first: float = Field(default=0.5, ge=0, lt=1)
    """beta at the start."""
    last: float = Field(default=0.2, ge=0, lt=1)
    """beta from `until` on."""
    until: Span = 0.53
    """Below 1 a share of the run, from 1 on a step."""
    step_along: Literal["blend", "average"] = "blend"
    """Beside the average some of the newest factor, or the average alone."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule] | None:
        return {DIAL: self.level} if self.first or self.last else None

    def level(self, clock: Clock) -> float:
        """beta at `clock.step`."""
        return self.first + (self.last - self.first) * risen(clock, 0, self.until)

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Smoothed(rule, self) if (self.first or self.last) and is_matrix(group) else rule


class Smoothed(AroundPolar):
    """Muon's rule with an average of its polar factors; state S."""

    def __init__(self, inner: UpdateRule, options: UpdateSmoothing):
        super().__init__(inner)
        self.blends = options.step_along == "blend"

    def added(self, p: Tensor) -> dict[str, Tensor]:
        return {"update_smoothing_s": p.new_zeros(p.shape)}

    def polar(self, u: Tensor) -> Tensor:
        s, beta, newest = self.now.state["update_smoothing_s"], self.now.dials[DIAL], self.plain(u)
        s.copy_(beta * s + (1 - beta) * newest)
        return beta * s + (1 - beta) * newest if self.blends else s.clone()
