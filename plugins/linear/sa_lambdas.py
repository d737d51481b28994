"""Multiply the weights of attention by learned numbers: one for queries, keys and values, one for the output.

    q, k, v = (a W_q) x, (a W_k) x, (a W_v) x      out = (b W_o) y      a = 0.5, b = 1 at first, one pair per layer

Neither decays. Under `qk_norm` a speaks through the values alone.

Suggested settings: the defaults, with lr 5 on top of a small Adam rate.
When it hurts / conflicts: a number before a matrix can be taken into the matrix: it changes how training moves, not
what the model can say. Attentions with other projections (`mla`) have no place for it, nor has nGPT, whose rows have
length 1.
Source: modded-nanogpt record 47 (weights; an earlier form scaled what they give).
"""

from collections.abc import Generator
from typing import ClassVar

import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import Linear, ParamInfo, ParamRule, Plugin, Site, hookimpl


class SaLambdas(Plugin):
    """Wraps the four projections of an attention."""

    conflicts: ClassVar[tuple[str, ...]] = ("mla", "ngpt")

    reading: float = 0.5
    """a at first."""
    writing: float = 1.0
    """b at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of both."""

    @hookimpl(wrapper=True)
    def make_linear(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        *around, kind, name = at.path.split(".")
        if kind != "attention" or name not in ("q", "k", "v", "out"):
            return inner
        end, value = ("writing", self.writing) if name == "out" else ("reading", self.reading)
        place = ".".join(around)
        factor: Factor = at.shared(f"sa_lambdas.{place}.{end}", lambda site: Factor(site, value))
        return Scaled(inner, factor)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(lr=self.lr, weight_decay=0.0) if param.path.startswith("shared.sa_lambdas.") else None


class Factor(nn.Module):
    """One number, which several projections share."""

    def __init__(self, at: Site, value: float):
        super().__init__()
        self.value = at.scale("value", (), value)


class Scaled(nn.Module):
    """A linear map whose weight is multiplied; where it is no plain one, its input is."""

    def __init__(self, inner: nn.Module, factor: Factor):
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        if type(self.inner) is Linear:
            return F.linear(x, self.inner.weight * self.factor.value)
        y: Tensor = self.inner(x * self.factor.value)
        return y
