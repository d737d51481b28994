"""Train between the last point and the average of all points, evaluate the average, and need no learning-rate decay.

Three points per parameter: z moves, x is the average of all z, y lies between them and is where gradients are taken.
With beta, the step's learning rate lr_t and its direction u_t (AdamW without its first moment, or another rule's):

    z <- z - lr_t (u_t(y) + weight_decay y)
    x <- (1 - c) x + c z,          c = lr_t^2 / sum_{i <= t} lr_i^2
    y <- (1 - beta) z + beta x

x is what evaluation sees. beta takes the place of the first moment, which is off in AdamW while this is on.

Suggested settings: beta 0.9, a constant learning rate with a short warm-up, one to three times the best of a schedule
with decay; weight decay a little higher.
When it hurts / conflicts: a learning rate that also decays averages twice. Not with another average, nor with nGPT,
whose weights must stay on the sphere. Two more copies of the weights in memory.
Source: Defazio et al. 2024, arXiv:2405.15682.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

from pydantic import Field

from coregpt.api import Clock, Companion, ParamRule, Plugin, Prescription, RunView, hookimpl


class ScheduleFree(Plugin):
    conflicts: ClassVar[tuple[str, ...]] = ("ema", "ngpt")
    prescribes: ClassVar[dict[str, Prescription]] = {
        "plugins.wsd.cooldown": Prescription(0, "arXiv:2405.15682, section 1: no schedule beyond a warm-up"),
        "plugins.cosine": Prescription(None, "arXiv:2405.15682, section 1: no schedule beyond a warm-up"),
    }

    beta: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """How close to the average gradients are taken."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Decay of AdamW's second moment."""

    @hookimpl
    def add_param_rules(self) -> ParamRule:
        return ParamRule(betas=(0.0, self.beta2))

    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Points(self.beta, run)


class Points(Companion):
    """z and x of every parameter; the parameters themselves hold y."""

    def __init__(self, beta: float, run: RunView):
        self.beta, self.run = beta, run
        self.z = {path: param.detach().clone() for path, param in run.params.items()}
        self.x = {path: param.detach().clone() for path, param in run.params.items()}
        self.weight = 0.0

    def after_update(self, clock: Clock) -> None:
        lr = float(self.run.dials.get("lr", 1.0))
        self.weight += lr**2
        c = lr**2 / self.weight if self.weight else 0.0
        for path, param in self.run.params.items():
            z, x = self.z[path], self.x[path]
            z.add_(param.detach() - x.lerp(z, 1 - self.beta))  # what the update moved y by
            x.lerp_(z, c)
            param.data.copy_(x.lerp(z, 1 - self.beta))

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        last = {path: param.detach().clone() for path, param in self.run.params.items()}
        try:
            for path, param in self.run.params.items():
                param.data.copy_(self.x[path])
            yield
        finally:
            for path, param in self.run.params.items():
                param.data.copy_(last[path])

    def state_dict(self) -> dict[str, Any]:
        points = {"z": self.z, "x": self.x}
        return {"weight": self.weight, **{name: {p: t.cpu() for p, t in of.items()} for name, of in points.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight = state["weight"]
        for mine, saved in ((self.z, state["z"]), (self.x, state["x"])):
            for path, value in saved.items():
                mine[path].copy_(value)
