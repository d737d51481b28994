"""Start matrices from a uniform distribution, its width set by how many inputs they have.

    W ~ U(-sqrt(3) a, sqrt(3) a),     a = factor / sqrt(inputs), which is the standard deviation

for every matrix of attention and MLP. The value that would have been drawn is mapped to it, number by number (its
quantile stays), so that arms of one seed start alike; matrices that start at zero stay there.

Suggested settings: factor 0.5 (short track, attention since record 53, and fc), with `zero_init` or not; factor 1 for
q, k and v in the medium track's record 18.
When it hurts / conflicts: drops the smaller start of what writes into the stream, so give it a `zero_init` in deep
models. muP and nGPT say themselves how large matrices are.
Source: modded-nanogpt record 53 and medium track record 8, whose projections out of the MLP start at zero.
"""

import math
from typing import ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor

from coregpt.api import ParamInfo, ParamRule, Plugin, hookimpl


class UniformInit(Plugin):
    """Maps initial values."""

    conflicts: ClassVar[tuple[str, ...]] = ("mup", "ngpt")

    factor: PositiveFloat = 0.5
    """a sqrt(inputs)."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if param.role != "matrix" or len(param.shape) < 2:
            return None
        a = self.factor / math.sqrt(param.shape[-1])
        return ParamRule(init=lambda value: uniform_of(value, a))


def uniform_of(value: Tensor, a: float) -> Tensor:
    """Normal numbers of any standard deviation as uniform ones of standard deviation a; zeros as zeros."""
    size = value.square().mean().sqrt().clamp(min=1e-30)
    return torch.erf(value / (size * math.sqrt(2))) * (a * math.sqrt(3))
