"""At a few set steps, move the weights along the way they have come since the last of these steps, mostly back.

A trail begins with the weights c after step `start`. After each `every` further steps, k = 1, 2, ...:

    D_k = theta - c + carry D_(k-1),     D_0 = 0
    theta <- theta + strength_k D_k,     c <- theta

for as many k as there are `strengths`. Below zero it takes back a part of the way, above zero it goes on. Optimizer
states stay. Several trails go beside each other, each over parameters of its own choice.

Suggested settings: record 43's. TrailDelta, the default: from 2650 every 100 of 2850 steps, -0.04 and then -0.12, carry
1, everything but the embedding. BroadDelta beside it: from 2000 after 400 steps, -0.005, matrices, without those that
make attention's values and write what they found. What the record does to evaluations is `phase_readout` and
`ref_interp`.
When it hurts / conflicts: a jump that no gradient asked for, late in a run. Left out again by the next records. Two
copies of the weights in memory for each trail. Weights on the sphere (ngpt) leave it.
Source: modded-nanogpt optimization track, record 43.
"""

from typing import Annotated, Any, ClassVar

import torch
from coregpt_plugins._shared.places import Place, stands
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from coregpt.api import Clock, Companion, ParamInfo, Plugin, Role, RunView, Span, hookimpl

WITHOUT_EMBEDDING: tuple[Role, ...] = ("matrix", "head", "table", "gate", "scalar")


class Trail(BaseModel):
    """One trail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Span = 0.93
    """Step after which it begins: below 1 a share of the run, from 1 on a step."""
    every: Annotated[Span, Field(gt=0)] = 0.035
    """Steps from there to the first move and from each to the next."""
    strengths: tuple[float, ...] = (-0.04, -0.12)
    """How far each move goes, in ways."""
    carry: float = 1.0
    """How much of the way before counts again."""
    roles: tuple[Role, ...] = WITHOUT_EMBEDDING
    """Whose weights are moved."""
    skip: tuple[Place, ...] = ()
    """Words of paths, as `attention.v`, that are left as they are."""

    def due(self, clock: Clock, move: int) -> bool:
        """Whether `move` is to be made after this step, 0 being the beginning."""
        return clock.step + 1 >= clock.span(self.start) + move * clock.span(self.every) - 1e-6

    def covers(self, param: ParamInfo) -> bool:
        """Whether it moves this parameter."""
        return param.role in self.roles and not any(stands(param.path, place) for place in self.skip)


class TrailDelta(Plugin):
    """Adds one companion a trail."""

    after: ClassVar[tuple[str, ...]] = ("ema_nesterov", "snoo")
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt", "schedule_free")
    neutral: ClassVar[dict[str, Any] | None] = {"trails": ()}

    trails: tuple[Trail, ...] = (Trail(),)
    """Trails, which act in this order where they act after the same step."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return Walk(self.trails, run) if self.trails else None


class Walk(Companion):
    """Of every trail how many moves it has made (-1: not begun), where its last one led and the way up to it."""

    def __init__(self, trails: tuple[Trail, ...], run: RunView):
        self.trails = trails
        self.params = [{path: p for path, p in run.params.items() if t.covers(run.infos[path])} for t in trails]
        self.moves = [-1] * len(trails)
        self.since: list[dict[str, Tensor]] = [{} for _ in trails]
        self.way: list[dict[str, Tensor]] = [{} for _ in trails]

    @torch.no_grad()
    def after_update(self, clock: Clock) -> None:
        for n, trail in enumerate(self.trails):
            while self.moves[n] < len(trail.strengths) and trail.due(clock, self.moves[n] + 1):
                self.moves[n] += 1
                if 0 < self.moves[n] <= len(trail.strengths):
                    self.move(n, trail.carry, trail.strengths[self.moves[n] - 1])
                ended = self.moves[n] >= len(trail.strengths)
                self.since[n] = {} if ended else {path: p.detach().clone() for path, p in self.params[n].items()}

    def move(self, n: int, carry: float, strength: float) -> None:
        """One move of trail `n`."""
        for path, param in self.params[n].items():
            way = param.detach() - self.since[n][path]
            if path in self.way[n]:
                way = way + carry * self.way[n][path]
            param.data.add_(way, alpha=strength)
            self.way[n][path] = way

    def state_dict(self) -> dict[str, Any]:
        kept = {"since": self.since, "way": self.way}
        return {
            "moves": self.moves,
            **{n: [{p: x.cpu() for p, x in each.items()} for each in of] for n, of in kept.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moves = list(state["moves"])
        for mine, saved in ((self.since, state["since"]), (self.way, state["way"])):
            for n, of in enumerate(saved):
                mine[n] = {path: value.to(self.params[n][path].device) for path, value in of.items()}
