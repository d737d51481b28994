"""Precondition each matrix from both sides, or one, with inverse roots of the averages of G G^T and G^T G.

For each matrix (r, c), a slice of a stack of any depth, averages corrected for their short history:

    L <- beta2 L + (1 - beta2) G G^T        R <- beta2 R + (1 - beta2) G^T G        M <- beta1 M + (1 - beta1) G
    P = L^-1/4 M R^-1/4         one side only: L^-1/2 M or M R^-1/2
    U = P |A| / |P|             A Adam's update of the same M; without `graft` U = P

Roots are taken in the first step and every `every` steps after it; `eps` times the largest eigenvalue is added to all.

Suggested settings: the defaults for both sides (record 21). One side: every 1, beta2 0.9, lr 0.01, weight_decay 0.1.
When it hurts / conflicts: another rule for matrices. Two eigendecompositions every time, 2 (r^2 + c^2) numbers of state
beside 3 r c. Both sides with beta2 0 and no graft are Muon without momentum.
Source: Gupta et al. 2018, arXiv:1802.09568; one side: Xie et al. 2025, arXiv:2503.10537; modded-nanogpt optimization
track, records 21 and 35. Which side and root record 35 took cannot be told from its log: the roots are the papers'.
"""

from typing import ClassVar, Literal

import torch
from coregpt_plugins._shared.matrices import frobenius, is_matrix
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, UpdateRule, hookimpl


class Shampoo(Plugin):
    """Claims the updates of matrices."""

    rounding_sensitive: ClassVar[str] = "inverse roots make the most of directions that gradients have hardly been in"

    lr: PositiveFloat = 1.5e-3
    """Peak learning rate of matrices; the `lr` schedule multiplies it."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of M."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of L, R and Adam's second moment."""
    sides: Literal["both", "left", "right", "short"] = "both"
    """Which sides are preconditioned; `short` is the side of the smaller matrix, left where both are alike."""
    every: PositiveInt = 5
    """Steps from one pair of roots to the next."""
    eps: PositiveFloat = 1e-6
    """Added to eigenvalues, as a share of the largest."""
    graft: bool = True
    """Give the update the size of Adam's."""
    adam_eps: PositiveFloat = 1e-15
    """Added to the root of Adam's second moment."""
    weight_decay: NonNegativeFloat = 0.2
    """Of matrices, instead of `optim.weight_decay`."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return ByRoots(self, group.shape[-2:]) if is_matrix(group) else None


class ByRoots:
    """The update rule. State: M, per side its average and its root, and v with `graft`."""

    def __init__(self, options: Shampoo, shape: tuple[int, ...]):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay
        short = "left" if shape[0] <= shape[1] else "right"
        chosen = short if options.sides == "short" else options.sides
        self.sides = ("left", "right") if chosen == "both" else (chosen,)

    def init(self, p: Tensor) -> dict[str, Tensor]:
        state = {"m": p.new_zeros(p.shape)}
        if self.options.graft:
            state["v"] = p.new_zeros(p.shape)
        for side in self.sides:
            size = p.shape[-2 if side == "left" else -1]
            for name in ("average", "root"):
                state[f"{side}_{name}"] = p.new_zeros((*p.shape[:-2], size, size))
        return state

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        o, step = self.options, int(dials["step"])
        state["m"].lerp_(g, 1 - o.beta1)
        m = update = state["m"] / (1 - o.beta1**step)
        for side in self.sides:
            average, root = state[f"{side}_average"], state[f"{side}_root"]
            average.lerp_(g @ g.mT if side == "left" else g.mT @ g, 1 - o.beta2)
            if (step - 1) % o.every == 0:
                root.copy_(inverse_root(average / (1 - o.beta2**step), 0.5 / len(self.sides), o.eps))
            update = root @ update if side == "left" else update @ root
        if not o.graft:
            return update
        state["v"].lerp_(g.square(), 1 - o.beta2)
        adam = m / ((state["v"] / (1 - o.beta2**step)).sqrt() + o.adam_eps)
        return update * (frobenius(adam) / frobenius(update).clamp(min=1e-20))


def inverse_root(x: Tensor, power: float, eps: float) -> Tensor:
    """(x + eps largest(x) I)^-power of positive x (n, ..., k, k); zeros for zeros."""
    values, vectors = torch.linalg.eigh(x)
    largest = values[..., -1:].clamp(min=0)
    raised = (values.clamp(min=0) + eps * largest).clamp(min=torch.finfo(x.dtype).tiny).pow(-power)
    return (vectors * torch.where(largest > 0, raised, 0.0).unsqueeze(-2)) @ vectors.mT
