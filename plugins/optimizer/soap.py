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

import torch
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
        return InEigenbasis(self) if group.role == "matrix" and len(group.shape) >= 2 else None


class InEigenbasis:
    """The update rule. State: M, v and, per side that is short enough, its statistic and its basis."""

    def __init__(self, options: Soap):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        state = {"m": p.new_zeros(p.shape), "v": p.new_zeros(p.shape)}
        for side, size in (("left", p.shape[-2]), ("right", p.shape[-1])):
            if size <= self.options.max_side:
                for name in ("statistic", "basis"):
                    state[f"{side}_{name}"] = p.new_zeros((*p.shape[:-2], size, size))
        return state

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        o, t = self.options, int(dials["step"]) - 1
        if t == 0:
            self.gather(g, state)
            u, _, v_t = torch.linalg.svd(g, full_matrices=False)
            for side, vectors in (("left", u), ("right", v_t.mT)):
                if f"{side}_basis" in state:
                    state[f"{side}_basis"].copy_(completed(vectors))
            return torch.zeros_like(g)
        m, v = state["m"], state["v"]
        m.lerp_(g, 1 - o.beta1)
        v.lerp_(turned(g, state).square(), 1 - o.beta2)
        update = turned(turned(m, state) / (v.sqrt() + o.eps), state, back=True)
        update = update * ((1 - o.beta2**t) ** 0.5 / (1 - o.beta1**t))
        self.gather(g, state)
        if t % o.every == 0:
            for side in _sides(state):
                turn_basis(state, side)
        return update

    def gather(self, g: Tensor, state: dict[str, Tensor]) -> None:
        """Takes G into the statistics."""
        for side in _sides(state):
            product = g @ g.mT if side == "left" else g.mT @ g
            state[f"{side}_statistic"].lerp_(product, 1 - self.options.beta2)


def turned(x: Tensor, state: dict[str, Tensor], back: bool = False) -> Tensor:
    """x (n, ..., r, c) in the eigenbases, or from there to where it came from."""
    left, right = state.get("left_basis"), state.get("right_basis")
    if left is not None:
        x = (left if back else left.mT) @ x
    if right is not None:
        x = x @ (right.mT if back else right)
    return x


def completed(columns: Tensor) -> Tensor:
    """Orthonormal columns (n, ..., k, m), with k - m more that make them a basis (columns may change sign).

    The singular vectors of the first G are eigenvectors of G G^T and G^T G. What those two do not reach is filled by
    reflections, which hang smoothly on the columns that are there; an eigenvector routine would let rounding decide.
    """
    return columns if columns.shape[-2] == columns.shape[-1] else torch.linalg.qr(columns, mode="complete")[0]


def turn_basis(state: dict[str, Tensor], side: str) -> None:
    """One power step of a basis, its columns and the rows or columns of v in the order of their eigenvalues."""
    basis, v = state[f"{side}_basis"], state["v"]
    ahead = state[f"{side}_statistic"] @ basis
    # Stable, so that equal values (a matrix without gradient) keep their order everywhere.
    order = (basis * ahead).sum(-2).argsort(dim=-1, descending=True, stable=True)
    columns = order.unsqueeze(-2)
    v.copy_(v.take_along_dim(order.unsqueeze(-1) if side == "left" else columns, -2 if side == "left" else -1))
    basis.copy_(torch.linalg.qr(ahead.take_along_dim(columns, -1))[0])


def _sides(state: dict[str, Tensor]) -> list[str]:
    return [side for side in ("left", "right") if f"{side}_basis" in state]
