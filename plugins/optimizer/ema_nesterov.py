"""Before each gradient, move the weights along an average of the way that they have been going.

With m zero at first, theta' the weights after the step before and f the `lr` schedule's value in it:

    before a step from `start` on, until `end`:    theta <- theta + strength f m        not undone
    after every step:    m <- gamma m + (1 - gamma) (theta - theta'),   theta' <- theta

Suggested settings: strength 0.6 from 0.15 to 0.75 of the run with Muon (record 39), 0.3 from 0.1 to 0.67 in later
stacks (records 40 to 46); gamma 0.99.
When it hurts / conflicts: with a long cooldown the average lags. Weights on the sphere (ngpt) leave it, and
`schedule_free` has a way of its own of standing elsewhere. Two more copies of the weights in memory.
Source: arXiv:2605.25395; modded-nanogpt optimization track, records 39 to 46. There f is the embedding's rate over its
first one; here it is the dial `lr` whatever a plugin makes of single groups.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeFloat
from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, RunView, Span, hookimpl


class EmaNesterov(Plugin):
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt", "schedule_free")
    neutral: ClassVar[dict[str, Any] | None] = {"strength": 0.0}

    strength: NonNegativeFloat = 0.3
    """How many average steps ahead gradients are taken."""
    gamma: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the average."""
    start: Span = 0.1
    """First step that looks ahead: below 1 a share of the run, from 1 on a step."""
    end: Span = 0.67
    """First step that does so no more."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return Ahead(self, run) if self.strength else None


class Ahead(Companion):
    """m and theta' of every parameter."""

    def __init__(self, options: EmaNesterov, run: RunView):
        self.options, self.run = options, run
        self.last = {path: param.detach().clone() for path, param in run.params.items()}
        self.way = {path: last.new_zeros(last.shape) for path, last in self.last.items()}
        self.factor = 1.0

    def before_step(self, clock: Clock) -> None:
        if clock.span(self.options.start) <= clock.step < clock.span(self.options.end):
            for path, param in self.run.params.items():
                param.data.add_(self.way[path], alpha=self.options.strength * self.factor)

    def after_update(self, clock: Clock) -> None:
        for path, param in self.run.params.items():
            self.way[path].lerp_(param.detach() - self.last[path], 1 - self.options.gamma)
            self.last[path].copy_(param.detach())
        self.factor = float(self.run.dials.get("lr", 1.0))

    def state_dict(self) -> dict[str, Any]:
        kept: dict[str, dict[str, Tensor]] = {"last": self.last, "way": self.way}
        return {"factor": self.factor, **{n: {p: t.cpu() for p, t in of.items()} for n, of in kept.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.factor = state["factor"]
        for mine, saved in ((self.last, state["last"]), (self.way, state["way"])):
            for path, value in saved.items():
                mine[path].copy_(value)
