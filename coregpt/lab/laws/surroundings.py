"""What a technique must bear in others' studies: a sliding window, document masks, bf16, random numbers.

Documents and bf16 are settings of a run. The other two are plugins of the laws' own, enabled beside what is tested.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from coregpt.contract.context import Context
from coregpt.contract.plugin import Plugin, hookimpl
from coregpt.contract.site import Site

AROUND = ("window", "documents", "bf16", "random")
REACH = 2
"""Tokens before a query that the window lets it see."""
DROPPED = 0.1


@dataclass(frozen=True)
class Near:
    """The rule of a window that does not depend on heads, rows or dials."""

    reach: int

    def __call__(self, *places: Any) -> Tensor:
        q, k = places[-3:-1]  # (b, q, k, ctx) or (b, h, q, k, ctx)
        return k >= q - self.reach


class Window(Plugin):
    @hookimpl
    def add_masks(self, at: Site) -> Near:
        return Near(REACH)


class Dropped(nn.Module):
    """A part whose output loses random features in training."""

    def __init__(self, at: Site, inner: nn.Module):
        super().__init__()
        self.inner = inner
        self.noise = at.random("law")

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(x, ctx)
        drawn = ctx.random(self.noise, tuple(y.shape))
        return y if drawn is None else y * (drawn >= DROPPED) / (1 - DROPPED)


class Dropout(Plugin):
    """Random numbers in the embedding, which every model has, and in MLPs, where there are any."""

    @hookimpl(wrapper=True)
    def make_embedding(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return Dropped(at, inner)

    @hookimpl(wrapper=True)
    def make_mlp(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return Dropped(at, inner)


def plugins_around(around: Iterable[str]) -> list[tuple[str, Plugin]]:
    """The laws' own plugins for what is around; they go outside of all others."""
    made: dict[str, Plugin] = {"window": Window(), "random": Dropout()}
    return [(f"a law's {name}", made[name]) for name in AROUND if name in around and name in made]
