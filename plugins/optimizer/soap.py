"""Run Adam in the eigenbasis of Shampoo's two statistics of each matrix.

For each matrix (r, c), a slice of a stack of any depth, with eigenvectors Q_L of L and Q_R of R:

    G' = Q_L^T G Q_R
    M <- beta1 M + (1 - beta1) G            v <- beta2 v + (1 - beta2) G'^2
    U = Q_L [Q_L^T M Q_R / (sqrt(v) + eps)] Q_R^T x sqrt(1 - beta2^t) / (1 - beta1^t)
    L <- beta2 L + (1 - beta2) G G^T        R <- beta2 R + (1 - beta2) G^T G

The first step only fills L and R and takes their eigenvectors (largest first); t counts the steps after it. Every
`every` steps, after the update, the basis takes one power step: columns sorted by diag(Q^T L Q), v with them, then
Q <- orthonormal columns of L Q. A side longer than `max_side` keeps the identity. No random numbers.

Takes the role `matrix`; everything else stays with the default rule.

Suggested settings: lr 3e-3 (0.0018 in the comparison on nanoGPT), betas 0.95 and 0.95, every 10.
When it hurts / conflicts: another rule for matrices. L, R and both bases take 2 (r^2 + c^2) numbers beside 2 r c.
Eigenvectors whose eigenvalues are close turn with the last bit of a gradient, so runs on other numbers of ranks or
other devices part sooner than with Adam: most of all with `every` below r / c or c / r, where the first turn comes
before gradients have reached all directions of the longer side.
Source: Vyas et al. 2024, arXiv:2409.11321; github.com/nikhilvyas/SOAP.
"""

import coregpt_plugins._shared.eigenbasis as eigen
import torch
from coregpt_plugins._shared.matrices import is_matrix
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, UpdateRule, hookimpl


class Soap(Plugin):
    """Claims the updates of matrices."""

    lr: PositiveFloat = 3e-3
    """Peak learning rate of matrices; the `lr` schedule multiplies it."""
    beta1: float = Field(default=0.95, ge=0, lt=1)
    """Decay of M."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of v, L and R."""
    eps: PositiveFloat = 1e-8
    """Added to sqrt(v), before the correction for the short history."""
    weight_decay: NonNegativeFloat = 0.01
    """Of matrices, instead of `optim.weight_decay`."""
    every: PositiveInt = 10
    """Steps from one turn of the bases to the next."""
    max_side: PositiveInt = 10_000
    """Longest side that gets a basis of its own."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return InEigenbasis(self) if is_matrix(group) else None


class InEigenbasis:
    """The update rule. State: M, v and, per side that is short enough, its statistic and its basis."""

    def __init__(self, options: Soap):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {"m": p.new_zeros(p.shape), "v": p.new_zeros(p.shape), **eigen.room(p, self.options.max_side)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        o, t = self.options, int(dials["step"]) - 1
        if t == 0:
            eigen.gather(g, state, o.beta2)
            eigen.begin(g, state)
            return torch.zeros_like(g)
        m, v = state["m"], state["v"]
        m.lerp_(g, 1 - o.beta1)
        v.lerp_(eigen.turned(g, state).square(), 1 - o.beta2)
        update = eigen.turned(eigen.turned(m, state) / (v.sqrt() + o.eps), state, back=True)
        update = update * ((1 - o.beta2**t) ** 0.5 / (1 - o.beta1**t))
        eigen.gather(g, state, o.beta2)
        if t % o.every == 0:
            for side in eigen.sides(state):
                eigen.turn(state, side)
        return update
