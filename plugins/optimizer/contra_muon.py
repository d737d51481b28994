"""Take some of the averaged gradient away from its polar factor, most of all along its largest singular values.

With u what Muon would orthogonalise and s its largest singular value, about:

    O = polar(u) - kappa u / s,  rescaled to the Frobenius norm of polar(u)

so that the directions the gradient is largest in get a little less than others. kappa falls linearly to 0 by `until`.
s comes from 5 power iterations, from a vector of equal numbers (in fp32), or is the fourth root of the sum of fourth
powers of the singular values (`schatten`).

Suggested settings: kappa 0.2 falling to 0 at 0.65 to 0.9 of the run, with muon, normuon and `uw_floor` 0.35.
When it hurts / conflicts: no effect that differs from none was shown: p = 0.69 where it came in (record 11), and out
again in record 44.
Source: modded-nanogpt optimization track, records 11 to 43.
"""

from collections.abc import Generator
from typing import Any, ClassVar, Literal

from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.contra import contra, falling, largest
from coregpt_plugins._shared.matrices import is_matrix, schatten4
from pydantic import NonNegativeFloat
from torch import Tensor

from coregpt.api import Clock, ParamGroup, Plugin, Schedule, Span, UpdateRule, hookimpl

DIAL = "contra_muon.kappa"


class ContraMuon(Plugin):
    """Goes around Muon's polar factor; adds a dial."""

    after: ClassVar[tuple[str, ...]] = ("aurora", "muon", "schatten_norm", "sink_soap")
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    neutral: ClassVar[dict[str, Any] | None] = {"kappa": 0.0}

    kappa: NonNegativeFloat = 0.2
    """How much is taken away at first."""
    until: Span = 0.8
    """Where nothing is taken away any more: below 1 a share of the run, from 1 on a step."""
    largest: Literal["power", "schatten"] = "power"
    """What s is."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule] | None:
        return {DIAL: self.level} if self.kappa else None

    def level(self, clock: Clock) -> float:
        """kappa at `clock.step`."""
        return falling(clock, self.kappa, self.until)

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Contra(rule, self) if self.kappa and is_matrix(group) else rule


class Contra(AroundPolar):
    """Muon's rule with less of the averaged gradient."""

    def __init__(self, inner: UpdateRule, options: ContraMuon):
        super().__init__(inner)
        self.size = schatten4 if options.largest == "schatten" else largest

    def polar(self, u: Tensor) -> Tensor:
        return contra(self.plain(u), u, self.size(u), self.now.dials[DIAL])
