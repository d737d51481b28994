"""Evaluate a point beside the way that the weights have come, on the side to which that way has bent.

With theta_0 and theta_1 the weights after steps `first` and `second`, and tensor by tensor

    d = theta_1 - theta_0,     v = theta - theta_1,     a = v - d
    b = a - <a, v> v / |v|^2,                           scaled to |v|

from step `start` on:   evaluated: theta + kappa b

Training never sees it: weights are swapped in around an evaluation and come back to the bit.

Suggested settings: the default is record 43's, for matrices without those that make attention's values and write what
they found: after 2650 and 2750 of 2850 steps, kappa 0.01. Its `trail_delta` moves first, its `ref_interp` looks last.
When it hurts / conflicts: what is called a bend is mostly noise of minibatches. Left out again by the next record. Two
more copies of the weights in memory. Weights on the sphere (ngpt) leave it.
Source: modded-nanogpt optimization track, record 43 (normalized orthogonal phase readout).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from coregpt_plugins._shared.places import Place, stands
from coregpt_plugins._shared.readout import swapped
from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, Role, RunView, Span, hookimpl


class PhaseReadout(Plugin):
    after: ClassVar[tuple[str, ...]] = ("trail_delta",)
    conflicts: ClassVar[tuple[str, ...]] = ("ema", "ngpt", "schedule_free")
    neutral: ClassVar[dict[str, Any] | None] = {"kappa": 0.0}

    kappa: float = 0.01
    """How far beside, in lengths of v."""
    first: Span = 0.93
    """Step after which theta_0 is taken: below 1 a share of the run, from 1 on a step."""
    second: Span = 0.965
    """Step after which theta_1 is taken."""
    start: Span = 0.996
    """First step that is evaluated so."""
    roles: tuple[Role, ...] = ("matrix",)
    """Whose weights are shown so."""
    skip: tuple[Place, ...] = ("attention.v", "attention.out")
    """Words of paths that are left as they are."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return Bend(self, run) if self.kappa else None


class Bend(Companion):
    """theta_0 and theta_1, empty until they are taken."""

    def __init__(self, options: PhaseReadout, run: RunView):
        self.options = options
        self.params = {
            path: param
            for path, param in run.params.items()
            if run.infos[path].role in options.roles and not any(stands(path, place) for place in options.skip)
        }
        self.points: list[dict[str, Tensor]] = []
        self.begun = False

    def after_update(self, clock: Clock) -> None:
        done, marks = clock.step + 1, (self.options.first, self.options.second)
        if len(self.points) < len(marks) and done >= clock.span(marks[len(self.points)]):
            self.points.append({path: param.detach().clone() for path, param in self.params.items()})
        self.begun = len(self.points) == len(marks) and done >= clock.span(self.options.start)

    def beside(self, path: str, theta: Tensor) -> Tensor:
        """theta + kappa b."""
        v = theta - self.points[1][path]
        a = v - (self.points[1][path] - self.points[0][path])
        b = a - v * ((a * v).sum() / v.square().sum().clamp(min=1e-20))
        return theta + b * (self.options.kappa * v.norm() / (b.norm() + 1e-12))

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        with swapped(self.params if self.begun else {}, self.beside):
            yield

    def state_dict(self) -> dict[str, Any]:
        points = [{path: value.cpu() for path, value in of.items()} for of in self.points]
        return {"begun": self.begun, "points": points}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.begun = state["begun"]
        device = {path: param.device for path, param in self.params.items()}
        self.points = [{path: value.to(device[path]) for path, value in of.items()} for of in state["points"]]
