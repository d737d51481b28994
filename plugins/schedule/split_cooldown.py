"""Hold the learning rate and cool it down linearly, matrices over a longer part of the run than everything else.

With N steps and c of cooldown, step s (from 0) multiplies the learning rate by 1 until N - c and then by
`(1 - t) + t floor` with `t = (s - (N - c)) / c`; matrices and all others have a c and a floor of their own. It is the
dial `lr` for matrices, and `split_cooldown.others` times that for the rest.

Suggested settings: matrices 0.8 and others 0.4 (record 24); matrices 1 and others 0.4 to 0.85 with `hyperball` (records
4, 5, 8 and 37); with psgd_kron matrices 1, others 0.5 to a floor of 0.1 (record 33).
When it hurts / conflicts: nothing else may own the `lr` dial. Whatever else follows it (a schedule of weight decay)
follows the matrices'.
Source: modded-nanogpt optimization track, record 24.
"""

from collections.abc import Generator
from typing import Annotated, Any, ClassVar

from coregpt_plugins._shared.own_rate import OwnDecay, OwnRate
from pydantic import Field

from coregpt.api import Clock, DecayRule, ParamGroup, Plugin, PluginError, Schedule, Share, UpdateRule, hookimpl

OTHERS = "split_cooldown.others"
Part = Annotated[float, Field(ge=0, le=1)]


class SplitCooldown(Plugin):
    """Owns `lr`; wraps the rules of all but matrices."""

    after: ClassVar[tuple[str, ...]] = ("wd_schedule",)
    neutral: ClassVar[dict[str, Any] | None] = {"matrices": 0.0, "others": 0.0}

    matrices: Part = 0.8
    """Share of the run in which the rate of matrices falls."""
    others: Part = 0.4
    """Share of the run in which every other rate falls."""
    floor: Share = 0.0
    """Where the cooldown of matrices ends, as a share of the peak."""
    others_floor: Share = 0.0
    """Where that of all others ends."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        own: dict[str, Schedule] = {"lr": lambda clock: factor(clock, self.matrices, self.floor)}
        return {**own, OTHERS: self.ratio} if self.split else own

    @property
    def split(self) -> bool:
        """Whether the two differ at all."""
        return (self.matrices, self.floor) != (self.others, self.others_floor)

    def ratio(self, clock: Clock) -> float:
        """The others' factor over that of matrices, which is above zero in every step of the run."""
        matrices = factor(clock, self.matrices, self.floor)
        if not matrices:
            raise PluginError(f"split_cooldown: the rate of matrices is zero in step {clock.step} of {clock.steps}")
        return factor(clock, self.others, self.others_floor) / matrices

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return OwnRate(rule, OTHERS) if self.split and group.role != "matrix" else rule

    @hookimpl(wrapper=True)
    def make_decay(self, group: ParamGroup) -> Generator[None, DecayRule, DecayRule]:
        rule = yield
        return OwnDecay(rule, OTHERS) if self.split and group.role != "matrix" else rule


def factor(clock: Clock, share: float, floor: float) -> float:
    """What multiplies a learning rate that falls in the last `share` of the run."""
    cooldown = share * clock.steps
    past = clock.step - (clock.steps - cooldown)
    return 1.0 if past <= 0 else 1 - past / cooldown * (1 - floor)
