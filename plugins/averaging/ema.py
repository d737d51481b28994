"""Evaluate an exponential moving average of the weights instead of the last ones.

With theta the weights after step s and h the horizon in steps, from the first step s >= start on:

    e <- theta                            at that first step
    e <- e + (theta - e) / h              after every later one (no more than 1/1: h >= 1)
    evaluated: (1 - blend) theta + blend e

Training never sees the average: weights are swapped in around an evaluation and come back to the bit. Averages are
kept in the precision of the weights (fp32). With `shift`, e starts behind, where an older average would stand: with w
zero at first and theta' the weights of the step before,

    w <- velocity w + (1 - velocity) (theta - theta')       after every step of the run
    e <- theta - shift h w                                  at that first step

With `rows`, rows of matrices keep a length: at its start each row of e that of theta's row, and in an evaluation each
row of the blend that of e's row. `roles` and `places` say another blend for some parameters.

Suggested settings: start where the cooldown starts or later, horizon 0.02 to 0.1 of the run; blend 0.6 together with a
cooldown (record 45: start 2400 of 2900, horizon 150, embedding left as it is), 1 in place of one. Projected tail EMA
(proposal 338, 2645 steps of 12 layers): start 2250, horizon 180, shift 0.5, rows, blend 0.9, head and matrices 0.75,
those of block 0 1.0 and of blocks 1 to 5 and 11 0.8, embedding left as it is. That its schedules run late is no part.
When it hurts / conflicts: while the loss still falls fast an average lags behind; with a cooldown to zero little is
left to average. A second copy of the weights in memory, with `shift` two more until it starts.
Source: Polyak & Juditsky 1992; modded-nanogpt optimization track, record 45 (tail EMA) and proposal 338 (the rest).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import torch
from coregpt_plugins._shared.places import Place, longest
from pydantic import Field, NonNegativeFloat
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
    shift: NonNegativeFloat = 0.0
    """How many horizons behind the weights the average starts, along their way."""
    velocity: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the average that says which way that is."""
    rows: bool = False
    """Whether rows of matrices keep the length of the average's rows."""
    roles: dict[Role, Share] = Field(default_factory=dict)
    """`blend` by role."""
    places: dict[Place, Share] = Field(default_factory=dict)
    """`blend` of matrices by place, words of a path such as `blocks.0` or `mlp.down`; of several the longest counts."""

    def share(self, path: str, role: Role) -> float:
        """The blend of one parameter."""
        place = longest(path, self.places) if role == "matrix" else None
        return self.roles.get(role, self.blend) if place is None else self.places[place]

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        if not any((self.blend, *self.roles.values(), *self.places.values())):
            return None
        kept = {path: param for path, param in run.params.items() if run.infos[path].role not in self.skip}
        if not kept:
            raise PluginError(f"ema: no parameter is left without the roles {', '.join(self.skip)}")
        return Average(self, kept, {path: self.share(path, run.infos[path].role) for path in kept})


class Average(Companion):
    """The average, empty until its first step; with `shift` the last weights and their average change until then."""

    def __init__(self, options: Ema, params: dict[str, Any], shares: dict[str, float]):
        self.options, self.params, self.shares = options, params, shares
        self.average: dict[str, Tensor] = {}
        self.last: dict[str, Tensor] = {}
        if options.shift:
            self.last = {path: param.detach().clone() for path, param in params.items()}
        self.way = {path: last.new_zeros(last.shape) for path, last in self.last.items()}

    @torch.no_grad()
    def after_update(self, clock: Clock) -> None:
        for path, last in self.last.items():
            now = self.params[path].detach()
            self.way[path].lerp_(now - last, 1 - self.options.velocity)
            last.copy_(now)
        if clock.step + 1 < clock.span(self.options.start):
            return
        horizon = max(1.0, clock.span(self.options.horizon))
        for path, param in self.params.items():
            if path in self.average:
                self.average[path].lerp_(param.detach(), 1 / horizon)
            else:
                self.average[path] = self.first(path, param.detach(), horizon)
        self.last, self.way = {}, {}

    def first(self, path: str, param: Tensor, horizon: float) -> Tensor:
        """What the average starts as."""
        if path not in self.way:
            return param.clone()
        return self.kept(param - self.options.shift * horizon * self.way[path], param)

    def kept(self, x: Tensor, like: Tensor) -> Tensor:
        """x with rows as long as those of `like`, where rows keep their length."""
        if not self.options.rows or x.dim() < 2:
            return x
        sizes = [torch.linalg.vector_norm(each, dim=-1, keepdim=True) for each in (like, x)]
        return x * (sizes[0] / sizes[1].clamp(min=1e-12))

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        last = {path: self.params[path].detach().clone() for path in self.average}
        try:
            for path, average in self.average.items():
                weights = self.params[path].data
                weights.copy_(self.kept(weights.lerp(average, self.shares[path]), average))
            yield
        finally:
            for path, value in last.items():
                self.params[path].data.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        kept: dict[str, dict[str, Tensor]] = {"average": self.average, "last": self.last, "way": self.way}
        return {name: {path: value.cpu() for path, value in of.items()} for name, of in kept.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        def taken(name: str) -> dict[str, Tensor]:
            return {path: value.to(self.params[path].device) for path, value in state[name].items()}

        self.average, self.last, self.way = taken("average"), taken("last"), taken("way")
