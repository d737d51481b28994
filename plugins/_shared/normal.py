"""Normal numbers that depend on the run's seed, the parameter and the step, and on no rank."""

import math

import torch
from torch import Tensor

from coregpt.api import Dials, Noise, uniform


def normals(noise: Noise, dials: Dials, like: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent normal tensors of the shape of `like` (n, ...), by Box and Muller, anew in every step."""
    rows = dials["rows"]
    assert isinstance(rows, Tensor)
    counters = (int(dials["step"]) << 32) + rows
    u = uniform(noise, counters, (len(like), 2, *like.shape[1:])).to(like.dtype)
    radius, angle = (-2 * torch.log1p(-u[:, 0])).sqrt(), 2 * math.pi * u[:, 1]
    return radius * angle.cos(), radius * angle.sin()
