"""Step along the nearest orthogonal matrix: momentum, then every singular value becomes about one.

For each matrix (r, c), a slice of a stack of any depth:

    M <- mu M + (1 - mu) G
    U = sqrt(max(1, r / c)) * polar(mu M + (1 - mu) G)      (Nesterov; without it polar(M))
    W <- W (1 - lr wd) - lr U

`polar` approximates U V^T of G = U S V^T without an SVD: scale G into the unit ball (X = G / (|G|_F + 1e-7);
`polar_express` divides by 1.02 |G|_F + 1e-6), then repeat X <- a X + (b A + c A^2) X with A = X X^T, taller
matrices transposed. `quintic` (5 steps) stops within about 0.68 to 1.2 of one, `tuned` and `polar_express`
(5) come closer with other factors each step, `ns12` (12) converges. fp32 on CPU, bf16 on CUDA.

Takes the role `matrix`; embedding, head, tables, gates and scalars stay with the default rule. Follows the dial
`momentum` where a schedule provides one. Core's gradient clip comes before, over all parameters.

Suggested settings: lr 0.02 to 0.025, momentum 0.95, weight_decay 0 to 0.05; no warmup; long linear cooldown.
When it hurts / conflicts: another rule for matrices; nGPT-like projections make the decay moot. Its learning rate
is on another scale than AdamW's, so tune both before comparing. Costs some matrix products per step.
Source: Jordan et al. 2024 (modded-nanogpt record 3); polar_express: Amsel et al. 2025, arXiv:2505.16932.
"""

import math
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, UpdateRule, hookimpl

Polar = Literal["quintic", "ns12", "tuned", "polar_express"]
FACTORS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "quintic": ((3.4445, -4.7750, 2.0315),) * 5,
    "ns12": ((2.0, -1.5, 0.5),) * 12,
    "tuned": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
    "polar_express": (
        (8.156554524902461, -22.48329292557795, 15.878769915207462),
        (4.042929935166739, -2.808917465908714, 0.5000178451051316),
        (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
        (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
        (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
    ),
}


class Muon(Plugin):
    """Claims the updates of matrices."""

    lr: PositiveFloat = 0.02
    """Peak learning rate of matrices; the `lr` schedule multiplies it."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """mu. The dial `momentum` overrides it."""
    nesterov: bool = True
    """Look one step ahead: orthogonalise the average of gradient and momentum."""
    weight_decay: NonNegativeFloat = 0.0
    """Of matrices, instead of `optim.weight_decay`."""
    polar: Polar = "quintic"
    """Polynomials that approximate the polar factor."""
    steps: PositiveInt | None = None
    """Iterations. Empty: as many as `polar` lists; more repeat its last polynomial."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        return Orthogonal(self) if group.role == "matrix" and len(group.shape) >= 2 else None


class Orthogonal:
    """The update rule; state M, zero at first."""

    def __init__(self, options: Muon):
        self.options, self.lr, self.weight_decay = options, options.lr, options.weight_decay
        listed = FACTORS[options.polar]
        steps = options.steps or len(listed)
        self.factors = (listed + listed[-1:] * steps)[:steps]

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {"m": p.new_zeros(p.shape)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        mu, m = dials.get("momentum", self.options.momentum), state["m"]
        m.mul_(mu).add_(g * (1 - mu))
        ahead = g * (1 - mu) + m * mu if self.options.nesterov else m
        rows, columns = g.shape[-2:]
        return self.polar(ahead) * math.sqrt(max(1.0, rows / columns))

    def polar(self, g: Tensor) -> Tensor:
        """Approximate polar factor of the last two dimensions, in the dtype of `g`."""
        tall = g.shape[-2] > g.shape[-1]
        x = g.mT if tall else g
        size: Tensor = torch.linalg.matrix_norm(x, keepdim=True)
        x = x / (1.02 * size + 1e-6 if self.options.polar == "polar_express" else size + 1e-7)
        x = x.to(torch.bfloat16) if g.is_cuda else x
        for a, b, c in self.factors:
            gram = x @ x.mT
            x = a * x + (b * gram + c * (gram @ gram)) @ x
        return (x.mT if tall else x).to(g.dtype)
