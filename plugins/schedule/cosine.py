"""Warm the learning rate up linearly, then let it fall along half a cosine.

With N steps and w of warmup, step s (from 0) multiplies every learning rate by `(s + 1) / w` while s < w and
then by `floor + (1 - floor) (1 + cos(pi (s - w) / (N - w))) / 2`. `floor` would be reached at step N. `ramp` has the
other two ways of counting: `(s + 1) / (w + 1)`, which is below the peak until step w, and `s / w`, whose first step
moves nothing.

Suggested settings: warmup 0.01 to 0.05, floor 0.1 (GPT-2, GPT-3) or 0. llm.c has the default ramp, nanoGPT
`(s+1)/(w+1)` with floor 0.1, NVIDIA's GPT beside its nGPT `s/w` with floor 0.
When it hurts / conflicts: the whole curve depends on N, so a run cannot be prolonged, and losses in
mid-run are not comparable between budgets. Nothing else may own the `lr` dial.
Source: Loshchilov & Hutter 2017, arXiv:1608.03983; Brown et al. 2020, arXiv:2005.14165.
"""

import math
from typing import Any, ClassVar, Literal

from coregpt.api import Clock, Plugin, PluginError, Schedule, Share, Span, hookimpl


class Cosine(Plugin):
    neutral: ClassVar[dict[str, Any]] = {"warmup": 0, "floor": 1}

    warmup: Span = 0.01
    """Rising part at the start: below 1 a share of the run, from 1 on a number of steps."""
    floor: Share = 0.1
    """Where the cosine ends, as a share of the peak."""
    ramp: Literal["(s+1)/w", "(s+1)/(w+1)", "s/w"] = "(s+1)/w"
    """The factor in step s of w steps of warmup."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {"lr": self.factor}

    def factor(self, clock: Clock) -> float:
        """What multiplies the learning rate at `clock.step`."""
        warmup = clock.span(self.warmup)
        if warmup >= clock.steps:
            raise PluginError(f"cosine: {warmup:g} steps of warmup leave nothing of a run of {clock.steps}")
        if clock.step < warmup:
            rising = clock.step + (self.ramp != "s/w")
            return min(1.0, rising / (warmup + (self.ramp == "(s+1)/(w+1)")))
        angle = math.pi * (clock.step - warmup) / (clock.steps - warmup)
        return self.floor + (1 - self.floor) * (1 + math.cos(angle)) / 2
