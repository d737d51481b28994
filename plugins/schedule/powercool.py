"""Hold the learning rate, then let it fall as a power of what is left of the run; matrices begin before all others.

With N steps, T = N + `past` and K steps of cooldown, step s multiplies the learning rate by

    min(1, (max(0, T - s) / K)^power)

with one K for matrices and a shorter one for everything else. It is the dial `lr` for matrices, and `powercool.others`
times that for the rest.

Suggested settings: the defaults: power 1.2, K of 0.82 N for matrices and 0.49 N for the others (2386.4 and 1413 of 2900
steps, record 46); `past` for runs that are measured before their end: 210 of 2690 steps there, and 0 if not.
When it hurts / conflicts: the whole curve depends on N. Nothing else may own the `lr` dial.
Source: modded-nanogpt's optimization track, records 20 to 46.
"""

from collections.abc import Generator
from typing import ClassVar

from coregpt_plugins._shared.own_rate import OwnDecay, OwnRate
from pydantic import NonNegativeFloat, PositiveFloat

from coregpt.api import Clock, DecayRule, ParamGroup, Plugin, PluginError, Schedule, Span, UpdateRule, hookimpl

OTHERS = "powercool.others"


class Powercool(Plugin):
    """Owns `lr`; wraps the rules of all but matrices."""

    after: ClassVar[tuple[str, ...]] = ("wd_schedule",)

    power: PositiveFloat = 1.2
    """Of what is left of the cooldown."""
    matrices: Span = 0.82
    """K of matrices: below 1 a share of the run, from 1 on a number of steps."""
    others: Span = 0.49
    """K of everything else."""
    past: NonNegativeFloat = 0.0
    """How far behind the last step the rate reaches zero: below 1 a share of the run, from 1 on a number of steps."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {"lr": lambda clock: self.factor(clock, self.matrices), OTHERS: self.ratio}

    def factor(self, clock: Clock, cooldown: float) -> float:
        """What multiplies the learning rate of parameters with this K."""
        steps, past = clock.span(cooldown), clock.span(self.past)
        if not 0 < steps <= clock.steps + past:
            raise PluginError(
                f"powercool: a cooldown of {steps:g} steps in a run of {clock.steps} and {past:g} steps past it"
            )
        left = max(0.0, clock.steps + past - clock.step)
        return min(1.0, (left / steps) ** self.power)

    def ratio(self, clock: Clock) -> float:
        """The others' factor over that of matrices; both vanish together."""
        matrices = self.factor(clock, self.matrices)
        return self.factor(clock, self.others) / matrices if matrices else 1.0

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return rule if group.role == "matrix" else OwnRate(rule, OTHERS)

    @hookimpl(wrapper=True)
    def make_decay(self, group: ParamGroup) -> Generator[None, DecayRule, DecayRule]:
        rule = yield
        return rule if group.role == "matrix" else OwnDecay(rule, OTHERS)
