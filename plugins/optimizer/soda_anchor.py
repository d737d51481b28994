"""Pull matrices back towards their initial values before every step, less and less.

In step s (from 0), before the update of every matrix with initial value W_0:

    W <- (1 - a) W + a W_0,     a = f / (s + 2)

f is 1 until `start` and falls to 0 at `end` along a cosine. A pull of 1 / (s + 2) alone keeps the mean of all steps.

Suggested settings: start 0.67, end 0.92 (2000 and 2750 of 3000 steps), with Muon's usual settings and no decay.
When it hurts / conflicts: the pull of the first steps is strong (a half, a third), which asks for larger steps. Weights
on the sphere (ngpt, hyperball) leave it. A copy of all matrices in memory.
Source: modded-nanogpt optimization track, record 32.
"""

import math
from typing import ClassVar

from coregpt_plugins._shared.ramps import risen

from coregpt.api import Clock, Companion, Plugin, RunView, Span, hookimpl


class SodaAnchor(Plugin):
    conflicts: ClassVar[tuple[str, ...]] = ("hyperball", "ngpt", "psgd_kron")

    start: Span = 0.67
    """Where the pull begins to fall: below 1 a share of the run, from 1 on a step."""
    end: Span = 0.92
    """Where it is gone."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Anchor(self, run)


class Anchor(Companion):
    """The initial values; made anew with the run, so that no checkpoint has to hold them."""

    def __init__(self, options: SodaAnchor, run: RunView):
        self.options = options
        self.matrices = [param for path, param in run.params.items() if run.infos[path].role == "matrix"]
        self.initial = [param.detach().clone() for param in self.matrices]

    def before_update(self, clock: Clock) -> None:
        pull = self.pull(clock)
        if pull:
            for param, initial in zip(self.matrices, self.initial, strict=True):
                param.data.lerp_(initial, pull)

    def pull(self, clock: Clock) -> float:
        """a in this step."""
        fallen = risen(clock, self.options.start, self.options.end)
        return (1 + math.cos(math.pi * fallen)) / 2 / (clock.step + 2)
