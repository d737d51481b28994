"""Near the end of a run, jump towards where the last few steps seem to converge (reduced rank extrapolation).

From `start` until `end` the weights after each step are kept, all parameters as one vector, x_0 to x_3 the last four.
After every `every`-th step with four of them, u_j = x_{j+1} - x_j (j = 0, 1, 2) and F_ij = <u_i, u_j>:

    F <- F + (1e-6 tr(F) / 3 + 1e-10) I,        c = F^-1 1 / sum(F^-1 1)
    x* = x_3 - sum_j y_j u_j,                   y_j = c_0 + ... + c_j       (`textbook`: x* = sum_j c_j x_j)
                                                y_j = c_j + ... + c_2       (`as_published`)
    theta <- x_3 + blend (x* - x_3), the change not longer than cap |x_3|

and the history begins anew with the new weights. Optimizer states stay.

Suggested settings: the defaults (from 2820 to 2925 of 2930 steps).
When it hurts / conflicts: minibatch noise is no convergent iteration, and the published effect is p = 0.168. Four
copies of the weights in memory. Weights on the sphere (ngpt) leave it.
Source: modded-nanogpt optimization track, record 34. Its code sums the coefficients from the wrong end, which on a
linear iteration moves away from the fixed point that the textbook's form finds.
"""

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, RunView, Share, Span, hookimpl

KEPT = 4


class Rre(Plugin):
    after: ClassVar[tuple[str, ...]] = ("ema_nesterov", "snoo")
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt", "schedule_free")
    neutral: ClassVar[dict[str, Any] | None] = {"blend": 0.0}

    form: Literal["textbook", "as_published"] = "textbook"
    """How coefficients are summed."""
    start: Span = 0.963
    """First step whose weights are kept: below 1 a share of the run, from 1 on a step."""
    end: Span = 0.9983
    """From where on nothing is done any more."""
    every: PositiveInt = 5
    """Steps from one jump to the next."""
    blend: Share = 0.875
    """How much of the way is gone."""
    cap: Annotated[float, Field(gt=0)] = 1e-3
    """Longest jump, as a share of the weights' norm."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return Jump(self, run) if self.blend else None


class Jump(Companion):
    """The last weights, oldest first, each a dict by path."""

    def __init__(self, options: Rre, run: RunView):
        self.options, self.params = options, run.params
        self.history: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def after_update(self, clock: Clock) -> None:
        o = self.options
        if not clock.span(o.start) <= clock.step < clock.span(o.end):
            return
        self.keep()
        if len(self.history) == KEPT and (clock.step + 1) % o.every == 0:
            self.jump()
            self.history.clear()
            self.keep()

    def keep(self) -> None:
        """Takes the present weights into the history."""
        self.history = [*self.history[1 - KEPT :], {path: p.detach().clone() for path, p in self.params.items()}]

    def jump(self) -> None:
        """Moves the weights."""
        moves = self.steps()
        gram = torch.stack([torch.stack([product(u, v) for v in moves]) for u in moves])
        gram = gram + (1e-6 * gram.trace() / len(moves) + 1e-10) * torch.eye(len(moves)).to(gram)
        weights = torch.linalg.solve(gram, torch.ones(len(moves)).to(gram))
        c = weights / weights.sum()
        sums = c.cumsum(0) if self.options.form == "textbook" else c.flip(0).cumsum(0).flip(0)
        last = self.history[-1]
        change = {path: torch.zeros_like(value) for path, value in last.items()}
        for y, u in zip(sums, moves, strict=True):
            for path, moved in u.items():
                change[path].sub_(moved * y.to(moved.dtype))
        longest = self.options.cap * product(last, last).sqrt()
        size = self.options.blend * product(change, change).sqrt()
        factor = self.options.blend * (longest / size.clamp(min=1e-30)).clamp(max=1.0)
        for path, param in self.params.items():
            param.data.add_(change[path] * factor.to(param.dtype))

    def steps(self) -> list[dict[str, Tensor]]:
        """u_0 to u_2, by path."""
        pairs = zip(self.history, self.history[1:], strict=False)
        return [{path: after[path] - before[path] for path in before} for before, after in pairs]

    def state_dict(self) -> dict[str, Any]:
        return {"history": [{path: value.cpu() for path, value in kept.items()} for kept in self.history]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = {path: param.device for path, param in self.params.items()}
        self.history = [{path: x.to(device[path]) for path, x in kept.items()} for kept in state["history"]]


def product(x: dict[str, Tensor], y: dict[str, Tensor]) -> Tensor:
    """<x, y> over all parameters, 0-d, in float64."""
    return torch.stack([(x[path].double() * y[path].double()).sum() for path in x]).sum()
