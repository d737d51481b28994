"""Evaluate the weights a few average steps back from the last ones (or ahead of them).

From step `start` on, with w zero at first and theta' the weights of the step before:

    w <- beta w + (1 - beta) (theta - theta')
    evaluated: theta + gamma min(1, cap |theta| / |w|) w

tensor by tensor. Training never sees it: weights are swapped in around an evaluation and come back to the bit.

Suggested settings: the default is record 38's, for matrices: gamma -6, beta 0.9, from 2500 of 2900 steps on. Its
`ref_interp` looks from where this has put the weights.
When it hurts / conflicts: with a cooldown to zero the last steps are short and little is left to take back. Not beside
`ema`, which looks back as well. Two more copies of the weights in memory.
Source: modded-nanogpt optimization track, record 38.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

from coregpt_plugins._shared.readout import swapped
from pydantic import Field, PositiveFloat
from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, Role, RunView, Span, hookimpl


class TailVelocity(Plugin):
    after: ClassVar[tuple[str, ...]] = ("trail_delta",)
    conflicts: ClassVar[tuple[str, ...]] = ("ema", "ngpt", "schedule_free")
    neutral: ClassVar[dict[str, Any] | None] = {"gamma": 0.0}

    gamma: float = -6.0
    """How many average steps ahead; below zero back."""
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the average."""
    start: Span = 0.862
    """Step after which changes are averaged: below 1 a share of the run, from 1 on a step."""
    cap: PositiveFloat = 0.01
    """Largest |w|, as a share of the tensor's norm."""
    roles: tuple[Role, ...] = ("matrix",)
    """Whose weights are shown so."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return Pace(self, run) if self.gamma else None


class Pace(Companion):
    """theta' and w of every tensor, empty until `start`."""

    def __init__(self, options: TailVelocity, run: RunView):
        self.options = options
        self.params = {path: param for path, param in run.params.items() if run.infos[path].role in options.roles}
        self.last: dict[str, Tensor] = {}
        self.way: dict[str, Tensor] = {}

    def after_update(self, clock: Clock) -> None:
        if clock.step + 1 < clock.span(self.options.start):
            return
        now = {path: param.detach().clone() for path, param in self.params.items()}
        for path, last in self.last.items():
            self.way[path].lerp_(now[path] - last, 1 - self.options.beta)
        if not self.last:
            self.way = {path: value.new_zeros(value.shape) for path, value in now.items()}
        self.last = now

    def ahead(self, path: str, theta: Tensor) -> Tensor:
        """theta + gamma w, w within its cap."""
        way = self.way[path]
        most = self.options.cap * theta.norm().clamp(min=1e-12)
        return theta + way * (self.options.gamma * (most / way.norm().clamp(min=1e-12)).clamp(max=1.0))

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        with swapped(self.params if self.last else {}, self.ahead):
            yield

    def state_dict(self) -> dict[str, Any]:
        kept = {"last": self.last, "way": self.way}
        return {name: {path: value.cpu() for path, value in of.items()} for name, of in kept.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last, self.way = (
            {path: value.to(self.params[path].device) for path, value in state[name].items()}
            for name in ("last", "way")
        )
