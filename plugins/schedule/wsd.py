"""Warm the learning rate up, hold it, and cool it down linearly at the end (warmup-stable-decay).

With N steps, w of warmup and c of cooldown, step s (from 0) multiplies every learning rate by
`(s + 1) / w` while s < w, by 1 in between, and by `(1 - t) + t floor` with `t = (s - (N - c)) / c` once
s > N - c. `floor` would be reached at step N, one past the last.

Suggested settings: warmup 0.04, cooldown 0.3 for AdamW (200 and 1450 of 4768 steps); warmup 0, cooldown 0.4
to 0.7 for Muon; floor 0 to 0.15.
When it hurts / conflicts: the cooldown gains most of its loss late, so losses before it say little. Nothing
else may own the `lr` dial. Warmup and cooldown must fit in the run together.
Source: Hu et al. 2024 (MiniCPM), arXiv:2404.06395; Haegele et al. 2024, arXiv:2405.18392.
"""

from typing import Any, ClassVar

from coregpt.api import Clock, Plugin, PluginError, Schedule, Share, Span, hookimpl


class Wsd(Plugin):
    neutral: ClassVar[dict[str, Any]] = {"warmup": 0, "cooldown": 0}

    warmup: Span = 0.0
    """Rising part at the start: below 1 a share of the run, from 1 on a number of steps."""
    cooldown: Span = 0.3
    """Falling part at the end: below 1 a share of the run, from 1 on a number of steps."""
    floor: Share = 0.0
    """Where the cooldown ends, as a share of the peak."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {"lr": self.factor}

    def factor(self, clock: Clock) -> float:
        """What multiplies the learning rate at `clock.step`."""
        warmup, cooldown = clock.span(self.warmup), clock.span(self.cooldown)
        if warmup + cooldown > clock.steps:
            raise PluginError(
                f"wsd: {warmup:g} steps of warmup and {cooldown:g} of cooldown do not fit in a run of {clock.steps}"
            )
        if clock.step < warmup:
            return min(1.0, (clock.step + 1) / warmup)
        past = clock.step - (clock.steps - cooldown)
        if past <= 0:
            return 1.0
        t = past / cooldown
        return (1 - t) + t * self.floor
