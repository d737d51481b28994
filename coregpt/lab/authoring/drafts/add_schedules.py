"""Warm the learning rate up, then lower it in a straight line to zero.

Suggested settings: the default.
When it hurts / conflicts: another schedule of the learning rate.
Source: name the paper your idea comes from; replace this card by yours.
"""

from coregpt.api import Clock, Plugin, RunView, Schedule, Span, hookimpl


class Draft(Plugin):
    warmup: Span = 0.1
    """How long the rate rises: below 1 a share of the run, from 1 on a number of steps."""

    @hookimpl
    def add_schedules(self, run: RunView) -> dict[str, Schedule]:
        return {"lr": self.factor}

    def factor(self, clock: Clock) -> float:
        """What every learning rate is multiplied by at a step."""
        rising = clock.span(self.warmup)
        if clock.step < rising:
            return (clock.step + 1) / (rising + 1)
        return 1 - (clock.step - rising) / (clock.steps - rising)
