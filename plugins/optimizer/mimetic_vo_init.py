"""Start value and output projections as what they become in trained models: their product as minus the identity.

    W_v = sqrt(beta) I + noise N        W_o = -sqrt(beta) I + noise N'        N, N' of standard deviation 1

so that W_o W_v is about -beta I: at first every head takes a little of what it looks at out of the stream. Queries and
keys are left to `uniform_init` (factor 1), which the record has with it.

Suggested settings: beta 0.05, noise 0.01, as published.
When it hurts / conflicts: the newest record went back to uniform values. Not with output projections that start at
zero, nor with attentions whose values have another width than the stream, nor where weights have a norm of their own.
Source: Trockman & Kolter 2023, arXiv:2305.09828; modded-nanogpt record 64.
"""

import math
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from coregpt.api import ParamInfo, ParamRule, Plugin, PluginError, hookimpl

SIGNS = {"v": 1.0, "out": -1.0}


class MimeticVoInit(Plugin):
    """Maps initial values."""

    after: ClassVar[tuple[str, ...]] = ("uniform_init",)
    conflicts: ClassVar[tuple[str, ...]] = ("gqa", "mamba2", "mla", "mup", "ngpt", "sparse", "zero_init")

    beta: NonNegativeFloat = 0.05
    """W_o W_v starts as -beta I."""
    noise: NonNegativeFloat = 0.01
    """Standard deviation of what is added to both."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        *_, kind, name, last = ("", "", *param.path.split("."))
        if kind != "attention" or name not in SIGNS or last != "weight":
            return None
        if param.shape[0] != param.shape[1]:
            raise PluginError(f"mimetic_vo_init: '{param.path}' is {param.shape}, expected a square matrix")
        return ParamRule(init=lambda value: self.start(value, SIGNS[name]))

    def start(self, value: Tensor, sign: float) -> Tensor:
        """The drawn `value` made noise of its standard deviation, on a multiple of the identity."""
        drawn = value / value.square().mean().sqrt().clamp(min=1e-30)
        return self.noise * drawn + sign * math.sqrt(self.beta) * torch.eye(len(value), device=value.device)
