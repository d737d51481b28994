"""Muon's update rule with something around its orthogonalisation, for techniques between its momentum and its step.

Muon asks its own method `polar` for the factor of u, the matrix it has averaged; here that question goes to a wrapper,
which asks whatever was there before. Several wrap each other in the order of plugins, and none has to know the others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coregpt.api import Dials, PluginError, UpdateRule


@dataclass
class Moment:
    """What one update of a stack was asked with."""

    p: Tensor
    g: Tensor
    state: dict[str, Tensor]
    dials: Dials


class AroundPolar(ABC):
    """The rule `inner`, Muon's or a wrapper of it; subclasses answer `polar`, and `added` if they keep a state."""

    now: Moment

    def __init__(self, inner: UpdateRule):
        self.inner, self.lr, self.weight_decay = inner, inner.lr, inner.weight_decay
        self.muon = muon_in(inner)
        self.plain: Callable[[Tensor], Tensor] = self.muon.polar
        """u (n, ..., r, c) to what would be its polar factor without this technique."""
        self.muon.polar = self.polar

    def added(self, p: Tensor) -> dict[str, Tensor]:
        """State besides that of `inner`."""
        return {}

    @abstractmethod
    def polar(self, u: Tensor) -> Tensor:
        """What takes the place of the polar factor of u (n, ..., r, c); `self.now` is the update that is made."""

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {**self.inner.init(p), **self.added(p)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        self.now = Moment(p, g, state, dials)
        return self.inner.direction(p, g, state, dials)


def muon_in(rule: Any) -> Any:
    """Muon's own rule inside of its wrappers: the one that has `polar`, its `factors` and its `options`."""
    while not hasattr(rule, "factors"):
        if not hasattr(rule, "inner"):
            raise PluginError(f"expected the update rule of 'muon' inside, found {type(rule).__name__}")
        rule = rule.inner
    return rule


def iterates(x: Tensor, factors: tuple[tuple[float, float, float], ...]) -> list[Tensor]:
    """x (n, ..., r, c), then after every step X <- a X + (b A + c A^2) X with A = X X^T.

    In bf16 on CUDA, as Muon.
    """
    tall, kind = x.shape[-2] > x.shape[-1], x.dtype
    x = x.mT if tall else x
    x = x.to(torch.bfloat16) if x.is_cuda else x
    found = [x]
    for a, b, c in factors:
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
        found.append(x)
    return [(each.mT if tall else each).to(kind) for each in found]
