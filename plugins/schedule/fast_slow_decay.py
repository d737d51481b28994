"""Warm up, hold the peak for a moment, fall fast to a floor and then slowly to zero.

With q the share of the run that has passed at step s (from 0), every learning rate is multiplied by

    (s + 1) / w                                   in the first w = warmup N steps
    1                                             until `plateau`
    1 - (1 - floor) ((q - plateau) / (knee - plateau))^power      until `knee`
    floor (1 - (q - knee) / (1 - knee))           until the end

Suggested settings: the defaults, those of 3125 steps with `muon` and `hyperball` at lr 0.03.
When it hurts / conflicts: a fifth of the peak is what most of the run is trained at, so the peak is higher than with
other schedules. Nothing else may own the `lr` dial. The source keeps a linear cooldown of 0.85 for everything but
matrices; here all follow.
Source: modded-nanogpt pull request 351.
"""

from typing import Self

from pydantic import PositiveFloat, model_validator

from coregpt.api import Clock, Plugin, Schedule, Share, hookimpl


class FastSlowDecay(Plugin):
    warmup: Share = 0.032
    """End of the rising part, as a share of the run."""
    plateau: Share = 0.064
    """End of the peak."""
    knee: Share = 0.56
    """End of the fast fall."""
    floor: Share = 0.2
    """What the fast fall comes to, as a share of the peak."""
    power: PositiveFloat = 0.6
    """Below 1 the fall is steepest at its start."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.warmup <= self.plateau < self.knee < 1:
            raise ValueError("expected warmup <= plateau < knee < 1")
        return self

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {"lr": self.factor}

    def factor(self, clock: Clock) -> float:
        """What multiplies the learning rate at `clock.step`."""
        q, warmup = clock.progress, self.warmup * clock.steps
        if clock.step < warmup:
            return min(1.0, (clock.step + 1) / warmup)
        if q < self.plateau:
            return 1.0
        if q < self.knee:
            return 1 - (1 - self.floor) * ((q - self.plateau) / (self.knee - self.plateau)) ** self.power
        return self.floor * (1 - (q - self.knee) / (1 - self.knee))
