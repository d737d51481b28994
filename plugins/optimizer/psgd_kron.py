"""Whiten the gradients of each matrix with two triangular factors that are fitted to them step by step.

For each matrix (r, c), a slice of a stack of any depth, with upper triangular Q0 (r, r) and Q1 (c, c):

    u = M / (1 - beta^t), M <- beta M + (1 - beta) G;     u' = u + 2^-23 |u| n
    Q0 <- Q0 sqrt(max |Q1| / max |Q0|), Q1 divided by it
    A = Q0 u' Q1^T,  B = Q0^-T z Q1^-1
    Q0 <- Q0 - rate / |A A^T + B B^T| triu(A A^T - B B^T) Q0,   Q1 likewise with A^T A and B^T B
    U = Q0^T Q0 u Q1^T Q1

z and n are normal numbers and |.| is the largest eigenvalue by one and a half power iterations from the longest column.
At first Q0 = Q1 = (mean G^4)^(-1/32) I. Where A A^T and B B^T agree in the mean, U has covariance one.

With `sphere` a step keeps the Frobenius norm of W: W <- W - lr |W| U / |U|, scaled to the norm it had, and nothing
decays. z and n depend on the run's seed, the matrix and the step, so they are the same on any number of ranks.

Takes the role `matrix`; everything else stays with the default rule.

Suggested settings: lr 0.025 with `sphere`, falling linearly to zero over the whole run (wsd with a cooldown of all
steps); without it a rate like Adam's.
When it hurts / conflicts: another rule for matrices; with `sphere` another rule of decay, and matrices that start at
zero stay there. Two triangular solves and several products per step, r^2 + c^2 numbers of state beside r c.
Source: Li 2018, arXiv:1512.04202; github.com/lixilinx/psgd_torch; modded-nanogpt optimization track, record 33.
"""

from typing import ClassVar

import torch
from coregpt_plugins._shared.matrices import frobenius, is_matrix
from coregpt_plugins._shared.normal import normals
from coregpt_plugins._shared.sphere import BackToTheSphere, as_long_as
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from coregpt.api import DecayRule, Dials, Noise, ParamGroup, Plugin, UpdateRule, hookimpl

ROUNDING = 2.0**-23


class PsgdKron(Plugin):
    """Claims the updates of matrices and, with `sphere`, their decay."""

    conflicts: ClassVar[tuple[str, ...]] = ("zero_init",)

    lr: PositiveFloat = 0.025
    """Peak learning rate of matrices; the `lr` schedule multiplies it. With `sphere` a share of the matrix' norm."""
    beta: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the average of gradients."""
    rate: float = Field(default=1.0, gt=0, le=1)
    """How far a step moves the factors."""
    sphere: bool = True
    """Keep the Frobenius norm of every matrix."""
    weight_decay: NonNegativeFloat = 0.0
    """Of matrices, instead of `optim.weight_decay`, without `sphere`."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return Whitened(self, Noise.of(group.seed, f"psgd_kron/{group.paths[0]}")) if is_matrix(group) else None

    @hookimpl
    def make_decay(self, group: ParamGroup) -> DecayRule | None:
        return BackToTheSphere() if self.sphere and is_matrix(group) else None


class Whitened:
    """The update rule; state M, Q0, Q1."""

    def __init__(self, options: PsgdKron, noise: Noise):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay
        self.noise = noise

    def init(self, p: Tensor) -> dict[str, Tensor]:
        sides = {f"q{i}": p.new_zeros((*p.shape[:-2], size, size)) for i, size in enumerate(p.shape[-2:])}
        return {"m": p.new_zeros(p.shape), **sides}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        step, m, q0, q1 = int(dials["step"]), state["m"], state["q0"], state["q1"]
        if step == 1:
            size = g.pow(4).mean((-2, -1), keepdim=True).clamp(min=1e-24).pow(-1 / 32)
            for q in (q0, q1):
                q.copy_(torch.eye(q.shape[-1], dtype=q.dtype, device=q.device) * size)
        m.lerp_(g, 1 - self.options.beta)
        u = m / (1 - self.options.beta**step)
        z, noise = normals(self.noise, dials, u)
        fit(q0, q1, u + ROUNDING * u.abs() * noise, z, self.options.rate)
        update = (q0.mT @ q0) @ u @ (q1.mT @ q1)
        return as_long_as(update, p) if self.options.sphere else update


def fit(q0: Tensor, q1: Tensor, u: Tensor, z: Tensor, rate: float) -> None:
    """One step of both factors, in place, towards whitening u (n, ..., r, c); z has the shape of u."""
    balance = (q1.abs().amax((-2, -1), keepdim=True) / q0.abs().amax((-2, -1), keepdim=True)).sqrt()
    q0.mul_(balance)
    q1.div_(balance)
    a = q0 @ u @ q1.mT
    b = torch.linalg.solve_triangular(q0.mT, z, upper=False)
    b = torch.linalg.solve_triangular(q1, b, upper=True, left=False)
    for q, ours, theirs in ((q0, a @ a.mT, b @ b.mT), (q1, a.mT @ a, b.mT @ b)):
        q.sub_((rate / largest(ours + theirs)) * torch.triu(ours - theirs) @ q)


def largest(x: Tensor) -> Tensor:
    """Nearly the largest eigenvalue of positive x (n, ..., k, k), as (n, ..., 1, 1)."""
    scale = x.abs().amax((-2, -1), keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    x = x / scale
    longest = x.square().sum(-2, keepdim=True).argmax(-1, keepdim=True)
    column = x @ x.take_along_dim(longest, -1)
    return scale * frobenius(x @ (column / frobenius(column)))
