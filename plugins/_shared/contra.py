"""Less of the averaged gradient in a step: what `contra_muon` and `muown` take away from a polar factor."""

from typing import Any

import torch
from coregpt_plugins._shared.matrices import frobenius
from coregpt_plugins._shared.ramps import risen
from torch import Tensor

from coregpt.api import Clock


def falling(clock: Clock, kappa: float, until: float) -> float:
    """kappa at `clock.step`: from `kappa` down to 0 at the span `until`, linear."""
    return kappa * (1 - risen(clock, 0.0, until))


def contra(plain: Tensor, u: Tensor, size: Tensor, kappa: Any) -> Tensor:
    """plain - kappa u / size, rescaled to the Frobenius norm of `plain` (n, ..., r, c), the polar factor of u."""
    other = plain - kappa * u / size.clamp(min=1e-20)
    return other * (frobenius(plain) / frobenius(other).clamp(min=1e-10))


def largest(u: Tensor, steps: int = 5) -> Tensor:
    """Nearly the largest singular value of u (n, ..., r, c), from below, as (n, ..., 1, 1)."""
    columns = u.shape[-1]
    v = torch.full((*u.shape[:-2], columns, 1), columns**-0.5, dtype=u.dtype, device=u.device)
    for _ in range(steps):
        v = u.mT @ (u @ v)
        v = v / frobenius(v).clamp(min=torch.finfo(u.dtype).tiny)
    return frobenius(u @ v)
