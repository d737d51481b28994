"""Blend Muon's polar factor with a softer one that leaves the singular values a tenth of their order of magnitude.

With X_0 = u / |u| and X_1 to X_11 the first eleven steps of Newton-Schulz (2, -1.5, 0.5), for fixed c (sum 1):

    S = sum_i c_i X_i, whose singular values are about sigma^0.1 (within 1% from 0.01 on, 13% too low at 0.003)
    O = (1 - w) O' + w S n(O') / n(S)       O' the polar factor without it, n the Schatten-4 norm

w rises linearly from 0 at `start` to 1 at `end` and stops at `cap`.

Suggested settings: the defaults, those of record 20 (2500 to 3010 of 3030 steps), over `contra_muon`.
When it hurts / conflicts: twelve more products of Newton-Schulz per step. It was switched off again in record 30.
Source: modded-nanogpt optimization track, record 20. There S has the norm of the plain polar factor also where it is
blended into `contra_muon`; here it has the norm of what it is blended into.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from coregpt_plugins._shared.around_polar import AroundPolar, iterates
from coregpt_plugins._shared.matrices import frobenius, is_matrix, schatten4
from coregpt_plugins._shared.ramps import risen
from torch import Tensor

from coregpt.api import Clock, ParamGroup, Plugin, Schedule, Share, Span, UpdateRule, hookimpl

DIAL = "soft_muon.weight"
SHARES = (
    0.1091613623,
    0.07085664498,
    0.05210528973,
    0.05457295795,
    0.05011334061,
    0.03334622198,
    0.05022104481,
    0.1053727358,
    0.1187323776,
    0.1185061091,
    0.1185059576,
    0.1185059576,
)
"""c: of the matrix itself and of what each of eleven steps makes of it."""


class SoftMuon(Plugin):
    """Goes around Muon's polar factor; adds a dial."""

    after: ClassVar[tuple[str, ...]] = ("aurora", "contra_muon", "muon", "schatten_norm", "sink_soap")
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    neutral: ClassVar[dict[str, Any] | None] = {"cap": 0.0}

    cap: Share = 0.8
    """Largest share of the soft factor."""
    start: Span = 0.82
    """Where it begins: below 1 a share of the run, from 1 on a step."""
    end: Span = 0.99
    """Where its share would be 1."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule] | None:
        return {DIAL: self.level} if self.cap else None

    def level(self, clock: Clock) -> float:
        """w at `clock.step`."""
        return min(self.cap, risen(clock, self.start, self.end))

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Soft(rule) if self.cap and is_matrix(group) else rule


class Soft(AroundPolar):
    """Muon's rule with a blend of the soft factor."""

    def polar(self, u: Tensor) -> Tensor:
        plain, soft = self.plain(u), soft_factor(u)
        soft = soft * (schatten4(plain) / schatten4(soft).clamp(min=1e-10))
        return plain + self.now.dials[DIAL] * (soft - plain)


def soft_factor(u: Tensor) -> Tensor:
    """S of u (n, ..., r, c)."""
    found = iterates(u / (frobenius(u) + 1e-7), ((2.0, -1.5, 0.5),) * (len(SHARES) - 1))
    total = SHARES[0] * found[0]
    for share, each in zip(SHARES[1:], found[1:], strict=True):
        total = total + share * each
    return total
