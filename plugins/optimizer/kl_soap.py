"""Run Adam in the eigenbases of two statistics that take each other's eigenvalues into account (KL-SOAP).

For each matrix (r, c), with bases Q_L, Q_R, their eigenvalues l and k, G' = Q_L^T G Q_R, all averages with `beta2`:

    M <- beta1 M + (1 - beta1) G'       v <- beta2 v + (1 - beta2) G'^2         both in the bases
    U = Q_L [M / (sqrt(v) + 1e-8)] Q_R^T
    L takes in Y Y^T / c, Y = G Q_R diag(k^-1/2)        l takes in the row means of (G' diag(k^-1/2))^2
    R takes in Z^T Z / r, Z = diag(l^-1/2) Q_L^T G      k takes in the column means of (diag(l^-1/2) G')^2
    Q <- orthonormal columns of L Q, and M goes on as the same matrix in the new bases

The first step moves nothing: L = G G^T / c, R = G^T G / r, bases from them, l = k = 0.1. There is no bias correction.

Suggested settings: with `hyperball` at lr 0.018, which takes the size of U away (KL-SOAP-H, record 19), betas 0.95 and
0.9, a rate that falls as a power 1.5 (record 25).
When it hurts / conflicts: another rule for matrices. Two QR decompositions per step, 2 (r^2 + c^2) numbers of state.
Source: modded-nanogpt optimization track, records 19 and 25. Their text does not order the parts of one step: here the
update comes first, as in SOAP, then the statistics with the old eigenvalues, then the bases.
"""

from typing import ClassVar

import coregpt_plugins._shared.eigenbasis as eigen
import torch
from coregpt_plugins._shared.matrices import is_matrix
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, UpdateRule, hookimpl

FLOOR = 1e-20
"""Least eigenvalue: those of a matrix without gradients fall towards zero."""


class KlSoap(Plugin):
    """Claims the updates of matrices."""

    rounding_sensitive: ClassVar[str] = "eigenvectors whose eigenvalues are close turn with the last bit of a gradient"

    lr: PositiveFloat = 3e-3
    """Peak learning rate of matrices; the `lr` schedule multiplies it."""
    beta1: float = Field(default=0.95, ge=0, lt=1)
    """Decay of M."""
    beta2: float = Field(default=0.9, ge=0, lt=1)
    """Decay of v, of the statistics and of their eigenvalues."""
    eps: PositiveFloat = 1e-8
    """Added to sqrt(v)."""
    weight_decay: NonNegativeFloat = 0.0
    """Of matrices, instead of `optim.weight_decay`."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return InBothBases(self) if is_matrix(group) else None


class InBothBases:
    """The update rule. State: M, v, statistics, bases and eigenvalues."""

    def __init__(self, options: KlSoap):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        state = {"m": p.new_zeros(p.shape), "v": p.new_zeros(p.shape), **eigen.room(p, max(p.shape))}
        state["left_values"] = p.new_full((*p.shape[:-1], 1), 0.1)
        state["right_values"] = p.new_full((*p.shape[:-2], 1, p.shape[-1]), 0.1)
        return state

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        o, (rows, columns) = self.options, g.shape[-2:]
        if int(dials["step"]) == 1:
            state["left_statistic"].copy_(g @ g.mT / columns)
            state["right_statistic"].copy_(g.mT @ g / rows)
            eigen.begin(g, state)
            return torch.zeros_like(g)
        inside = eigen.turned(g, state)
        state["m"].lerp_(inside, 1 - o.beta1)
        state["v"].lerp_(inside.square(), 1 - o.beta2)
        update = eigen.turned(state["m"] / (state["v"].sqrt() + o.eps), state, back=True)
        self.gather(g, inside, state)
        self.turn(state)
        return update

    def gather(self, g: Tensor, inside: Tensor, state: dict[str, Tensor]) -> None:
        """Takes G, and G' = `inside`, into statistics and eigenvalues."""
        (rows, columns), taken = g.shape[-2:], 1 - self.options.beta2
        left, right = (state[f"{side}_values"].clamp(min=FLOOR).rsqrt() for side in ("left", "right"))
        y, z = (g @ state["right_basis"]) * right, left * (state["left_basis"].mT @ g)
        state["left_statistic"].lerp_(y @ y.mT / columns, taken)
        state["right_statistic"].lerp_(z.mT @ z / rows, taken)
        state["left_values"].lerp_((inside * right).square().mean(-1, keepdim=True), taken)
        state["right_values"].lerp_((left * inside).square().mean(-2, keepdim=True), taken)

    def turn(self, state: dict[str, Tensor]) -> None:
        """One power step of both bases; M stays the same matrix."""
        moved = eigen.turned(state["m"], state, back=True)
        for side in eigen.sides(state):
            basis = state[f"{side}_basis"]
            basis.copy_(torch.linalg.qr(state[f"{side}_statistic"] @ basis)[0])
        state["m"].copy_(eigen.turned(moved, state))
