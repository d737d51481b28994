"""Evaluate an exponential moving average of the weights instead of the last ones.

With theta the weights after step s and h the horizon in steps, from the first step s >= start on:

    e <- theta                            at that first step
    e <- e + (theta - e) / h              after every later one (no more than 1/1: h >= 1)
    evaluated: (1 - blend) theta + blend e

Training never sees the average: weights are swapped in around an evaluation and come back to the bit. Averages are
kept in the precision of the weights (fp32).

Suggested settings: start where the cooldown starts or later, horizon 0.02 to 0.1 of the run; blend 0.6 together with a
cooldown (record 45: start 2400 of 2900, horizon 150, embedding left as it is), 1 in place of one.
When it hurts / conflicts: while the loss still falls fast an average lags behind; with a cooldown to zero little is
left to average. A second copy of the weights in memory.
Source: Polyak & Juditsky 1992; modded-nanogpt optimization track, record 45 (tail EMA).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, PluginError, Role, RunView, Share, Span, hookimpl


class Ema(Plugin):
    after = ("ngpt",)
    neutral: ClassVar[dict[str, Any] | None] = {"blend": 0.0}

    start: Span = 0.7
    """First step that counts: below 1 a share of the run, from 1 on a step."""
    horizon: Annotated[Span, Field(gt=0)] = 0.03
    """Memory of the average: below 1 a share of the run, from 1 on a number of steps."""
    blend: Share = 1.0
    """What share of the evaluated weights is the average; the rest is the last weights."""
    skip: tuple[Role, ...] = ()
    """Roles whose last weights are evaluated."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        if self.blend == 0:
            return None
        kept = {path: param for path, param in run.params.items() if run.infos[path].role not in self.skip}
        if not kept:
            raise PluginError(f"ema: no parameter is left without the roles {', '.join(self.skip)}")
        return Average(self, kept)


class Average(Companion):
    """The average, empty until its first step."""

    def __init__(self, options: Ema, params: dict[str, Any]):
        self.options, self.params = options, params
        self.average: dict[str, Tensor] = {}

    def after_update(self, clock: Clock) -> None:
        if clock.step + 1 < clock.span(self.options.start):
            return
        weight = 1 / max(1.0, clock.span(self.options.horizon))
        for path, param in self.params.items():
            if path in self.average:
                self.average[path].lerp_(param.detach(), weight)
            else:
                self.average[path] = param.detach().clone()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        last = {path: self.params[path].detach().clone() for path in self.average}
        try:
            for path, average in self.average.items():
                self.params[path].data.lerp_(average, self.options.blend)
            yield
        finally:
            for path, value in last.items():
                self.params[path].data.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {path: value.cpu() for path, value in self.average.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average = {path: value.to(self.params[path].device) for path, value in state.items()}
