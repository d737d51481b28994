"""Keep direction and length of every row apart: Muon on the directions, Adam on the lengths.

Row i of a matrix is W_i = g_i v_i / |v_i|, stored as W and |v|. With u = W / g, in every step (mu = 0.95):

    dg = <dW, u>        dv = (g / |v|) (dW - u dg)          row by row
    m <- mu m + dv      O = polar(dv + mu m)                polar express, 12 iterations
    v <- u |v| - lr 0.2 sqrt(max(r, c)) O
    g <- g - lr Adam(dg)                                    betas 0.9 and 0.95
    W <- g v / |v|

Then |v| is set by a clock and no longer by v: from the first length of each row to `length` (`down`, `up` or `out`
times that in the MLP's second and first and attention's last matrix), as the share of the run that has passed to
`power`. Longer v turn less. Rows of zeros start with g = |v| = sqrt(0.33) and no direction. With `contra`, a part of
ahead = dv + mu m is taken away from its polar factor as `contra_muon` does, kappa falling to 0 by `contra_until`:

    O <- polar(ahead) - kappa ahead / s,  rescaled to the Frobenius norm of polar(ahead)

Suggested settings: lr 0.00325 falling as a power 0.9 over the run; the length is meant for rows that start near 0.57.
Contra-NorMuown, record 31: lr 0.0045, momentum 0.946, power 0.9, up and out 1.5, contra 0.325 until 0.64, polar `long`,
with `normuon` at beta2 0.8. Both records' logs have the polynomials `long`, which come to one; `express` stays around.
When it hurts / conflicts: rules that hold the norm of matrices, or decay (there is none here). It claims matrices.
Source: arXiv:2605.10797; modded-nanogpt optimization track, records 23 and 31. Readme and log of the first disagree on
length and rate; these are the log's.
"""

from typing import Any, ClassVar, Literal

import torch
from coregpt_plugins._shared.around_polar import iterates
from coregpt_plugins._shared.contra import contra, falling, largest
from coregpt_plugins._shared.matrices import Chosen, frobenius, is_matrix
from pydantic import Field, NonNegativeFloat, PositiveFloat, PrivateAttr
from torch import Tensor

from coregpt.api import Clock, DecayRule, Dials, ParamGroup, Plugin, Schedule, Span, UpdateRule, hookimpl

DIAL = "muown.share"
KAPPA = "muown.kappa"
EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    *(((2.3465413258596377, -1.7097828382687081, 0.42323551169305323),) * 8),
)
LONG = (
    (8.2051, -22.9019, 16.4607),
    (4.0664, -2.8612, 0.5184),
    (3.9096, -2.8234, 0.5250),
    (3.2856, -2.4153, 0.4853),
    (2.2779, -1.6198, 0.3985),
    (1.8726, -1.2307, 0.3585),
    (1.8564, -1.2132, 0.3568),
    *(((1.8750, -1.2500, 0.3750),) * 5),
)


class Muown(Plugin):
    """Claims updates and decay of matrices; adds a dial."""

    conflicts: ClassVar[tuple[str, ...]] = (
        "cautious_wd",
        "hyperball",
        "ngpt",
        "radial_brake",
        "uw_floor",
        "wd_schedule",
    )

    lr: PositiveFloat = 0.00325
    """Peak learning rate of directions and lengths; the `lr` schedule multiplies it."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """mu."""
    length: PositiveFloat = 2.496
    """|v| at the end of the run."""
    down: PositiveFloat = 3.333
    """Times that, in the second matrix of MLPs."""
    up: PositiveFloat = 1.0
    """Times that, in the first matrix of MLPs."""
    out: PositiveFloat = 1.0
    """Times that, in the last matrix of attention."""
    power: PositiveFloat = 1.2
    """How |v| follows the share of the run that has passed."""
    polar: Literal["express", "long"] = "express"
    """Polynomials: muon's `polar_express`, the last repeated, or the records', whose last comes to one."""
    contra: NonNegativeFloat = 0.0
    """kappa at first; 0 takes nothing away."""
    contra_until: Span = 0.64
    """Where nothing is taken away any more: below 1 a share of the run, from 1 on a step."""

    _rules: dict[str, "Rows"] = PrivateAttr(default_factory=dict)
    """By first path of a group its rule, which is its decay as well: only that is told the learning rate."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {DIAL: self.share, **({KAPPA: self.kappa} if self.contra else {})}

    def share(self, clock: Clock) -> float:
        """How much of the way |v| has gone at `clock.step`."""
        return (max(0, clock.step - 1) / max(1, clock.steps - 1)) ** self.power

    def kappa(self, clock: Clock) -> float:
        """kappa at `clock.step`."""
        return falling(clock, self.contra, self.contra_until)

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        if not is_matrix(group):
            return None
        self._rules[group.paths[0]] = Rows(self, group)
        return self._rules[group.paths[0]]

    @hookimpl
    def make_decay(self, group: ParamGroup) -> DecayRule | None:
        return self._rules.get(group.paths[0]) if is_matrix(group) else None


class Rows:
    """Update rule and decay: the first gives the direction of v, the second what takes W to where it belongs."""

    weight_decay = 0.0

    def __init__(self, options: Muown, group: ParamGroup):
        self.options, self.lr = options, options.lr
        longer = {"down": options.down, "up": options.up, "out": options.out}
        self.longer = [(Chosen(group, (word,)), factor) for word, factor in longer.items()]
        self.pending: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def init(self, p: Tensor) -> dict[str, Tensor]:
        size = row_sizes(p)
        zeros = {f"g_{name}": torch.zeros_like(size) for name in ("m", "v")}
        return {"m": p.new_zeros(p.shape), "start": torch.where(size > 0, size, 0.33**0.5), **zeros}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        mu, step, size = self.options.momentum, int(dials["step"]), row_sizes(p)
        gain = torch.where(size > 0, size, 0.33**0.5)
        u = p / gain
        long = self.length(state["start"], dials)
        along = (g * u).sum(-1, keepdim=True)
        across = (gain / long) * (g - u * along)
        state["m"].mul_(mu).add_(across)
        ahead = across + mu * state["m"]
        state["g_m"].lerp_(along, 0.1)
        state["g_v"].lerp_(along.square(), 0.05)
        adam = (state["g_m"] / (1 - 0.9**step)) / ((state["g_v"] / (1 - 0.95**step)).sqrt() + 1e-8)
        self.pending = u, long, gain, adam
        factor = self.polar(ahead)
        if self.options.contra:
            factor = contra(factor, ahead, largest(ahead), dials[KAPPA])
        return factor * (0.2 * max(p.shape[-2:]) ** 0.5)

    def polar(self, ahead: Tensor) -> Tensor:
        """Its polar factor, about (n, ..., r, c)."""
        size = frobenius(ahead)
        if self.options.polar == "long":
            return iterates(ahead / (size + 1e-7), LONG)[-1]
        return iterates(ahead / (1.02 * size + 1e-6), EXPRESS)[-1]

    def length(self, start: Tensor, dials: Dials) -> Tensor:
        """|v| (n, ..., r, 1) in this step."""
        end: Any = self.options.length
        for chosen, factor in self.longer:
            end = end * torch.where(chosen.among(dials, start), factor, 1.0)
        return start + (end - start) * dials[DIAL]

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        assert self.pending is not None
        u, long, gain, adam = self.pending
        v = u * long - lr * update
        placed = (gain - lr * adam) * v / row_sizes(v).clamp(min=1e-20)
        return p - placed - lr * update


def row_sizes(x: Tensor) -> Tensor:
    """(n, ..., r, 1)."""
    size: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return size
