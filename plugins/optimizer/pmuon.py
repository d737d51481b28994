"""Even out the averaged gradient with powers of its own second moments before it is orthogonalised.

With u what Muon would orthogonalise (r, c), on both sides (here the left one):

    L <- beta L + u u^T,   C = L + floor tr(L) / r I
    Q <- orthonormal columns of C Q          random at first
    w_j = max(q_j^T C q_j, floor tr(L) / r)
    K_L = Q diag(w^-power) Q^T sqrt(r) / |w^-power|
    O = polar(K_L u K_R)

Suggested settings: the defaults, with muon at lr 0.035 and weight_decay 0.025.
When it hurts / conflicts: 2 (r^2 + c^2) numbers of state and two QR decompositions per step. Another preconditioner of
the same matrix (`soap_muon`) comes before or after and is no idea of anybody's.
Source: modded-nanogpt optimization track, record 18. Its floors are 1e-6 for sums of 524,288 tokens' gradients; here
gradients are means, so they are shares of the mean eigenvalue.
"""

from collections.abc import Generator
from typing import Any, ClassVar

import torch
from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import is_matrix
from coregpt_plugins._shared.normal import normals
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from coregpt.api import Noise, ParamGroup, Plugin, UpdateRule, hookimpl


class Pmuon(Plugin):
    """Goes around Muon's polar factor."""

    after: ClassVar[tuple[str, ...]] = (
        "aurora",
        "contra_muon",
        "muon",
        "schatten_norm",
        "sink_soap",
        "soft_muon",
        "tempered_polar",
    )
    requires: ClassVar[tuple[str, ...]] = ("muon",)
    neutral: ClassVar[dict[str, Any] | None] = {"power": 0.0}
    rounding_sensitive: ClassVar[str] = "where gradients have not been yet, its basis turns with their last bits"

    power: NonNegativeFloat = 0.3
    """Of the inverse second moments, on each side."""
    beta: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the second moments."""
    floor: PositiveFloat = 1e-6
    """Least eigenvalue, as a share of the mean one."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Preconditioned(rule, self, group) if self.power and is_matrix(group) else rule


class Preconditioned(AroundPolar):
    """Muon's rule between two powers; state per side: second moment and basis."""

    def __init__(self, inner: UpdateRule, options: Pmuon, group: ParamGroup):
        super().__init__(inner)
        self.options = options
        self.noise = {side: Noise.of(group.seed, f"pmuon/{side}/{group.paths[0]}") for side in ("left", "right")}

    def added(self, p: Tensor) -> dict[str, Tensor]:
        sizes = {"left": p.shape[-2], "right": p.shape[-1]}
        return {
            f"pmuon_{name}_{side}": p.new_zeros((*p.shape[:-2], size, size))
            for side, size in sizes.items()
            for name in ("moment", "basis")
        }

    def polar(self, u: Tensor) -> Tensor:
        left, right = self.factor("left", u @ u.mT), self.factor("right", u.mT @ u)
        return self.plain(left @ u @ right)

    def factor(self, side: str, product: Tensor) -> Tensor:
        """K of one side (n, ..., k, k), after `product` of this step is taken into the moment."""
        o, size = self.options, product.shape[-1]
        moment, basis = (self.now.state[f"pmuon_{name}_{side}"] for name in ("moment", "basis"))
        if int(self.now.dials["step"]) == 1:
            basis.copy_(torch.linalg.qr(normals(self.noise[side], self.now.dials, basis)[0])[0])
        moment.mul_(o.beta).add_(product)
        floor = o.floor * moment.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None].clamp(min=1e-30)
        ahead = moment @ basis + floor.unsqueeze(-1) * basis
        basis.copy_(torch.linalg.qr(ahead)[0])
        seen = (basis * (moment @ basis)).sum(-2) + floor
        weights = seen.maximum(floor).pow(-o.power)
        weights = weights * size**0.5 / torch.linalg.vector_norm(weights, dim=-1, keepdim=True)
        return (basis * weights.unsqueeze(-2)) @ basis.mT
