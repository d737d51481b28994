"""Evaluate a point on the line through the weights of an earlier step and the last ones.

With theta_ref the weights after step `reference`, from step `start` on:

    evaluated: theta + gamma (theta - theta_ref)

Below zero it is a step back towards the reference, above zero one beyond the last weights. Training never sees it:
weights are swapped in around an evaluation and come back to the bit.

Suggested settings: gamma -0.075, reference 0.83 and start 0.996 (2375 and 2850 of 2860 steps). Record 43's last
readout: gamma -0.08, reference 2400 of 2850 steps, without the embedding; it looks from where `phase_readout` has put
the weights, as from where `tail_velocity` has.
When it hurts / conflicts: whatever the last weights hold that is no noise is taken back as well. Not beside `ema` or
`schedule_free`. A second copy of the weights in memory.
Source: modded-nanogpt optimization track, records 38, 42 and 43.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, Role, RunView, Span, hookimpl


class RefInterp(Plugin):
    after: ClassVar[tuple[str, ...]] = ("ngpt", "phase_readout", "tail_velocity", "trail_delta")
    conflicts: ClassVar[tuple[str, ...]] = ("ema", "schedule_free")
    neutral: ClassVar[dict[str, Any] | None] = {"gamma": 0.0}

    gamma: float = -0.075
    """How far beyond the last weights, in distances from the reference."""
    reference: Span = 0.83
    """Step after which the reference is taken: below 1 a share of the run, from 1 on a step."""
    start: Span = 0.996
    """First step that is evaluated so."""
    skip: tuple[Role, ...] = ()
    """Roles whose last weights are evaluated."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return Line(self, run) if self.gamma else None


class Line(Companion):
    """The reference, empty until it is taken."""

    def __init__(self, options: RefInterp, run: RunView):
        self.options = options
        self.params = {path: p for path, p in run.params.items() if run.infos[path].role not in options.skip}
        self.reference: dict[str, Tensor] = {}
        self.begun = False

    def after_update(self, clock: Clock) -> None:
        done = clock.step + 1
        if not self.reference and done >= clock.span(self.options.reference):
            self.reference = {path: param.detach().clone() for path, param in self.params.items()}
        self.begun = done >= clock.span(self.options.start)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        shown = self.reference if self.begun else {}
        last = {path: self.params[path].detach().clone() for path in shown}
        try:
            for path, reference in shown.items():
                self.params[path].data.lerp_(reference, -self.options.gamma)
            yield
        finally:
            for path, value in last.items():
                self.params[path].data.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"begun": self.begun, "reference": {path: value.cpu() for path, value in self.reference.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.begun = state["begun"]
        self.reference = {path: value.to(self.params[path].device) for path, value in state["reference"].items()}
