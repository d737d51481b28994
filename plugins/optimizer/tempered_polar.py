"""Move Muon's polar factor a little way back towards the gradient that it was made of, late in a run.

With u what Muon would orthogonalise, O its polar factor and n the Schatten-4 norm:

    R = u / n(u) - O,    R <- R min(1, 0.25 n(O) / n(R))
    O <- O + rho R, rescaled to n(O)

rho rises linearly from 0 at `start` to `rho` at `end`.

Suggested settings: the defaults, those of record 38 (2600 to 2800 of 2900 steps).
When it hurts / conflicts: removed again in record 44; do not expect an effect that a few seeds can see.
Source: modded-nanogpt optimization track, record 38.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import is_matrix, schatten4
from coregpt_plugins._shared.ramps import risen
from torch import Tensor

from coregpt.api import Clock, ParamGroup, Plugin, Schedule, Share, Span, UpdateRule, hookimpl

DIAL = "tempered_polar.rho"


class TemperedPolar(Plugin):
    """Goes around Muon's polar factor; adds a dial."""

    after: ClassVar[tuple[str, ...]] = ("aurora", "contra_muon", "muon", "schatten_norm", "sink_soap", "soft_muon")
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    neutral: ClassVar[dict[str, Any] | None] = {"rho": 0.0}

    rho: Share = 0.05
    """How far it moves in the end."""
    start: Span = 0.9
    """Where it begins: below 1 a share of the run, from 1 on a step."""
    end: Span = 0.97
    """Where it is at `rho`."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule] | None:
        return {DIAL: self.level} if self.rho else None

    def level(self, clock: Clock) -> float:
        """rho at `clock.step`."""
        return self.rho * risen(clock, self.start, self.end)

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Tempered(rule) if self.rho and is_matrix(group) else rule


class Tempered(AroundPolar):
    """Muon's rule with a polar factor that is not quite one."""

    def polar(self, u: Tensor) -> Tensor:
        plain = self.plain(u)
        size = schatten4(plain)
        rest = u / schatten4(u).clamp(min=1e-20) - plain
        rest = rest * (0.25 * size / schatten4(rest).clamp(min=1e-20)).clamp(max=1.0)
        moved = plain + self.now.dials[DIAL] * rest
        return moved * (size / schatten4(moved).clamp(min=1e-10))
