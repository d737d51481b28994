"""Scale initial weights, learning rates and the last hidden state with width: one learning rate fits all widths.

With m = dim / base, against the plain parametrisation:

    matrices inside blocks: initial standard deviation x 1/sqrt(m), learning rate x 1/m, weight decay x m
    head: starts at zero (`zero_head`), reads h / m
    everything else: as it was

lr x weight_decay stays the same. At width `base` nothing but the head's start differs.

Suggested settings: `base` the width at which the learning rate was tuned.
When it hurts / conflicts: says nothing about depth, batch size or the number of tokens. Heads are assumed to keep their
width while their number grows. Muon's updates have a size of their own and nGPT a norm of its own: not with these.
Source: Yang et al. 2022, arXiv:2203.03466; in this form alxndrTL's nGPT replication.
"""

from collections.abc import Generator
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from coregpt.api import ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl


class Mup(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"base": "own", "zero_head": False}
    conflicts: ClassVar[tuple[str, ...]] = ("muon", "ngpt")

    base: PositiveInt | Literal["own"] = 128
    """The width at which the plain parametrisation holds; `own`: the model's."""
    zero_head: bool = True
    """The head starts at zero, if it has weights of its own: with `model.tied` say `zero_head: false`."""

    def ratio(self, dim: int) -> float:
        """m: how many times wider than `base` the model is."""
        return 1.0 if self.base == "own" else dim / self.base

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        m = self.ratio(param.model.dim)
        if param.role == "head" and self.zero_head:
            return ParamRule(init=0.0)
        if param.role == "matrix" and m != 1:
            return ParamRule(lr=1 / m, weight_decay=m, init=m**-0.5)
        return None

    @hookimpl(wrapper=True)
    def make_head(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        if self.zero_head and at.shape.tied:
            raise PluginError("mup: 'zero_head' needs a head of its own, but model.tied is true; say zero_head: false")
        head = yield
        m = self.ratio(at.shape.dim)
        return head if m == 1 else ScaledHead(head, 1 / m)


class ScaledHead(nn.Module):
    """`x -> head(factor x)`."""

    def __init__(self, inner: nn.Module, factor: float):
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x * self.factor)
        return y
