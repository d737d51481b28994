"""Every few steps, look at where the optimizer went as one gradient, and step along it with Nesterov momentum.

With theta_s the weights of the last outer step (at first the initial ones), after every `every`-th step:

    d = theta_s - theta,    u <- mu u + lr d
    theta <- theta_s - mu u - lr d,    theta_s <- theta

With lr 1 and mu 0 nothing changes. Optimizer states stay as they are.

Suggested settings: every 28, lr 0.68, mu 0.37 (Snoo) or every 30, lr 0.7, mu 0.5 (MuLoCo, here with one worker), for
all parameters.
When it hurts / conflicts: with a run of few outer steps. Weights that must stay on the sphere (ngpt) leave it. Other
plugins that move weights after a step move theta. Two more copies of the weights in memory.
Source: modded-nanogpt medium track, record 12 (Snoo), and optimization track, record 13; MuLoCo: arXiv:2505.23725.
"""

from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, RunView, hookimpl


class Snoo(Plugin):
    after: ClassVar[tuple[str, ...]] = ("ema_nesterov",)
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt", "schedule_free")
    neutral: ClassVar[dict[str, Any] | None] = {"lr": 1.0, "momentum": 0.0}

    every: PositiveInt = 28
    """Steps from one outer step to the next."""
    lr: PositiveFloat = 0.68
    """Of outer steps."""
    momentum: float = Field(default=0.37, ge=0, lt=1)
    """mu."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return None if self.lr == 1 and self.momentum == 0 else Outer(self, run)


class Outer(Companion):
    """theta_s and u of every parameter."""

    def __init__(self, options: Snoo, run: RunView):
        self.options, self.params = options, run.params
        self.start = {path: param.detach().clone() for path, param in run.params.items()}
        self.momentum = {path: start.new_zeros(start.shape) for path, start in self.start.items()}

    def after_update(self, clock: Clock) -> None:
        o = self.options
        if (clock.step + 1) % o.every:
            return
        for path, param in self.params.items():
            start, u = self.start[path], self.momentum[path]
            d = start - param.detach()
            u.mul_(o.momentum).add_(d, alpha=o.lr)
            start.sub_(u, alpha=o.momentum).sub_(d, alpha=o.lr)
            param.data.copy_(start)

    def state_dict(self) -> dict[str, Any]:
        kept: dict[str, dict[str, Tensor]] = {"start": self.start, "momentum": self.momentum}
        return {name: {path: value.cpu() for path, value in of.items()} for name, of in kept.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for mine, saved in ((self.start, state["start"]), (self.momentum, state["momentum"])):
            for path, value in saved.items():
                mine[path].copy_(value)
