"""Precondition what Muon orthogonalises as SOAP would: divide it by Adam's second moment in Shampoo's eigenbases.

With u what Muon would orthogonalise and Q_L, Q_R the eigenbases of the averages of G G^T and G^T G:

    v <- beta v + (1 - beta) (Q_L^T u Q_R)^2
    P = Q_L [Q_L^T u Q_R / (sqrt(v) + 1e-8)] Q_R^T,  with the Schatten-4 norm of u
    O = polar(P)

The first step has no bases and P = u. After each step the averages take G in, with the same beta; after the first step
they give the bases, and after every `every`-th later one the bases take one power step, columns in the order of their
eigenvalues and v with them.

With `trust_gate`, in attention's output projections, O = polar(u + t (P - u)), of the norm of u, with

    t = clip((cos(P, u) - 0.2) / 0.8, 0, 1) clip(cos(P, G) / cos(u, G), 0, 1)

not below `gate_floor` until `gate_from` (falling to 0 by `gate_to`), not above `gate_cap` until `gate_to`.

Suggested settings: every 10 for MLPs alone (record 14), every 1 for all (record 44); muon's `polar: ns12`.
When it hurts / conflicts: 2 (r^2 + c^2) numbers of state and two QR decompositions each time. Another preconditioner of
the same matrix. The benchmark itself calls the gate unproven.
Source: modded-nanogpt optimization track, records 14, 16 and 44 to 46.
"""

from collections.abc import Generator
from typing import Annotated, ClassVar, Literal

import coregpt_plugins._shared.eigenbasis as eigen
import torch
from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import Chosen, is_matrix, schatten4
from coregpt_plugins._shared.ramps import risen
from pydantic import Field, PositiveInt
from torch import Tensor

from coregpt.api import Clock, Dials, ParamGroup, Plugin, Schedule, Share, Span, UpdateRule, hookimpl

LEAST, MOST = "soap_muon.gate_floor", "soap_muon.gate_cap"


class SoapMuon(Plugin):
    """Goes around Muon's polar factor; with the gate it adds two dials."""

    after: ClassVar[tuple[str, ...]] = (
        "aurora",
        "contra_muon",
        "merged_qkv",
        "muon",
        "muon_grouping",
        "schatten_norm",
        "soft_muon",
        "tempered_polar",
    )
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    rounding_sensitive: ClassVar[str] = "eigenvectors whose eigenvalues are close turn with the last bit of a gradient"

    beta: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the averages and of v."""
    every: PositiveInt = 10
    """Steps from one turn of the bases to the next."""
    targets: Annotated[tuple[Literal["attention", "mlp"], ...], Field(min_length=1)] = ("attention", "mlp")
    """Whose matrices are preconditioned."""
    trust_gate: bool = False
    """Go back towards u in attention's output projections where P cannot be trusted."""
    gate_floor: Share = 0.45
    """Least t until `gate_from`."""
    gate_cap: Share = 0.85
    """Largest t until `gate_to`."""
    gate_from: Span = 0.474
    """Where the floor begins to fall: below 1 a share of the run, from 1 on a step."""
    gate_to: Span = 0.56
    """Where floor and cap are gone."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule] | None:
        return {LEAST: self.least, MOST: self.most} if self.trust_gate else None

    def least(self, clock: Clock) -> float:
        """Least t at `clock.step`."""
        return self.gate_floor * (1 - risen(clock, self.gate_from, self.gate_to))

    def most(self, clock: Clock) -> float:
        """Largest t at `clock.step`."""
        return self.gate_cap if clock.step < clock.span(self.gate_to) else 1.0

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        meant = is_matrix(group) and Chosen(group, self.targets)
        return Preconditioned(rule, self, group) if meant else rule


class Preconditioned(AroundPolar):
    """Muon's rule in SOAP's coordinates. State: v, statistics and bases."""

    def __init__(self, inner: UpdateRule, options: SoapMuon, group: ParamGroup):
        super().__init__(inner)
        self.options, self.meant = options, Chosen(group, options.targets)
        self.gated = Chosen(group, ("out",)) if options.trust_gate else None

    def added(self, p: Tensor) -> dict[str, Tensor]:
        return {"v": p.new_zeros(p.shape), **eigen.room(p, max(p.shape))}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        update, o, step = super().direction(p, g, state, dials), self.options, int(dials["step"])
        eigen.gather(g, state, o.beta)
        if step == 1:
            eigen.begin(g, state)
        elif (step - 1) % o.every == 0:
            for side in eigen.sides(state):
                eigen.turn(state, side)
        return update

    def polar(self, u: Tensor) -> Tensor:
        state, dials = self.now.state, self.now.dials
        if int(dials["step"]) == 1:
            return self.plain(u)
        inside, size = eigen.turned(u, state), schatten4(u)
        state["v"].lerp_(inside.square(), 1 - self.options.beta)
        p = eigen.turned(inside / (state["v"].sqrt() + 1e-8), state, back=True)
        p = p * (size / schatten4(p).clamp(min=1e-20))
        if self.gated:
            trusted = u + self.trust(p, u) * (p - u)
            trusted = trusted * (size / schatten4(trusted).clamp(min=1e-20))
            p = torch.where(self.gated.among(dials, u), trusted, p)
        return self.plain(torch.where(self.meant.among(dials, u), p, u))

    def trust(self, p: Tensor, u: Tensor) -> Tensor:
        """t (n, ..., 1, 1)."""
        g, dials = self.now.g, self.now.dials
        near = ((cosine(p, u) - 0.2) / 0.8).clamp(0, 1)
        ratio = cosine(p, g) / cosine(u, g)
        along = torch.where(ratio.isfinite(), ratio, 0.0).clamp(0, 1)
        return (near * along).maximum(torch.as_tensor(dials[LEAST])).minimum(torch.as_tensor(dials[MOST]))


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Of every two matrices, as (n, ..., 1, 1); 0 for zeros."""
    sizes = (x.square().sum((-2, -1), keepdim=True) * y.square().sum((-2, -1), keepdim=True)).sqrt()
    return (x * y).sum((-2, -1), keepdim=True) / sizes.clamp(min=1e-30)
