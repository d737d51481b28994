"""Let the momentum of matrices rise at the start of the run and fall again at its end.

With N steps, w of warmup and c of cooldown, in step s (from 0) the momentum is

    low + (high - low) s / w                  while s < w
    high - (high - low) (s - (N - c)) / c     once s > N - c: `low` would be reached at step N, one past the last
    high                                      in between

It is the dial `momentum`, which Muon follows. With no warmup and no cooldown it is `high` all along.

Suggested settings: the defaults' low and high. Warmup of 500 (record 9) or 300 steps (later ones), that is 0.1 to 0.25
of their runs; no cooldown (record 9) or one of 50 steps (newest records), of 100 and 200 in the optimization track.
When it hurts / conflicts: without Muon there is nothing to turn. Muon's own option `momentum` no longer counts. A short
memory averages fewer gradients, so with small batches low values are noisy. Nothing else may own the dial `momentum`.
Source: modded-nanogpt record 9 (warmup) and its later records (cooldown).
"""

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from coregpt.api import Clock, Plugin, PluginError, Schedule, Span, Stages, hookimpl


class MomentumSchedule(Plugin):
    """Adds one dial."""

    requires: ClassVar[tuple[str, ...]] = ("muon",)
    neutral: ClassVar[dict[str, Any] | None] = {"warmup": 0, "cooldown": 0}

    low: float = Field(default=0.85, ge=0, lt=1)
    """Momentum of the first step, and of the end of the cooldown."""
    high: float = Field(default=0.95, ge=0, lt=1)
    """Momentum between warmup and cooldown."""
    warmup: Span = 0.2
    """Rising part at the start: below 1 a share of the run, from 1 on a number of steps."""
    cooldown: Span = 0.04
    """Falling part at the end: below 1 a share of the run, from 1 on a number of steps."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) may not exceed high ({self.high})")
        return self

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        # A stage is the very number, where a dial that moves is rounded to fp32.
        still = self.low == self.high or not (self.warmup or self.cooldown)
        return {"momentum": Stages((1, self.high)) if still else self.momentum}

    def momentum(self, clock: Clock) -> float:
        """The momentum of `clock.step`."""
        warmup, cooldown = clock.span(self.warmup), clock.span(self.cooldown)
        if warmup + cooldown > clock.steps:
            raise PluginError(
                f"momentum_schedule: {warmup:g} steps of warmup and {cooldown:g} of cooldown do not fit in a run of"
                f" {clock.steps}"
            )
        past = clock.step - (clock.steps - cooldown)
        share = clock.step / warmup if clock.step < warmup else 1 - past / cooldown if past > 0 else 1.0
        return self.low + (self.high - self.low) * share
