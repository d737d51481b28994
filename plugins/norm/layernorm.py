"""Subtract the mean as well: LayerNorm with a gain, and a bias if wanted, in the place of every RMS norm.

    y = g * (x - mean(x)) / sqrt(var(x) + eps) + b      over the last dimension; g ones, b zeros at first

At every site that has a norm: before attention, before the MLP and before the head, and where other techniques put an
RMS norm. Computed in fp32. Gains and biases do not decay.

Suggested settings: the defaults are GPT-2's; nanoGPT trains without biases.
When it hurts / conflicts: an RMS norm does the same with less work. It leaves alone what is no norm (an nGPT has none).
Source: Ba et al. 2016, arXiv:1607.06450; Radford et al. 2019 (GPT-2); nanoGPT (`bias=False`).
"""

from collections.abc import Generator
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import ParamInfo, ParamRule, Plugin, RMSNorm, Site, hookimpl


class Layernorm(Plugin):
    """Replaces core's RMS norms."""

    conflicts: ClassVar[tuple[str, ...]] = ("ngpt", "rmsnorm_gain")

    bias: bool = True
    """Add a learned vector."""
    eps: PositiveFloat = 1e-5
    """Added to the variance."""

    @hookimpl(wrapper=True)
    def make_norm(self, at: Site, dim: int) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return LayerNorm(at.child("layernorm"), dim, self) if type(inner) is RMSNorm else inner

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(weight_decay=0.0) if ".layernorm." in param.path else None


class LayerNorm(nn.Module):
    """`(x) -> y`, both (..., dim) and of one dtype."""

    def __init__(self, at: Site, dim: int, options: Layernorm):
        super().__init__()
        self.eps = options.eps
        self.gain = at.scale("gain", (dim,), 1.0)
        self.bias = at.scale("bias", (dim,), 0.0) if options.bias else None

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.layer_norm(wide, self.gain.shape, self.gain, self.bias, self.eps).to(x.dtype)
