"""Sharpen attention as the row grows: queries are longer at later positions.

Suggested settings: the default.
When it hurts / conflicts: norms of queries placed outside of it undo it.
Source: Chiang & Cholak 2022, arXiv:2202.12172 (scaling by the logarithm of the length); replace this card by yours.
"""

from collections.abc import Generator
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class Sharpened(nn.Module):
    """q_t <- (1 + strength log(1 + t)) q_t at position t = 0, 1, ..., after whatever else happens to q and k."""

    def __init__(self, inner: nn.Module, strength: float):
        super().__init__()
        self.inner, self.strength = inner, strength

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        q, k = self.inner(q, k, ctx)
        t = ctx.positions if ctx.positions is not None else torch.arange(q.shape[1], device=q.device)[None]
        factor = 1 + self.strength * t.float().log1p()  # (B or 1, T)
        return q * factor.to(q.dtype)[..., None, None], k


class Draft(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"strength": 0.0}

    strength: NonNegativeFloat = 0.2
    """How fast queries grow with the logarithm of their position."""

    @hookimpl(wrapper=True)
    def make_position(self, at: Site, dim: int) -> Generator[None, Any, nn.Module]:
        return Sharpened((yield), self.strength)
