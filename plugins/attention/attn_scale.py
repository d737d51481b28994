"""Multiply attention scores by a fixed number instead of 1 / sqrt(D).

    s = scale q k^T

The queries are multiplied, so whatever bends scores or adds to them sees scaled ones, as ever.

Suggested settings: 0.12 for normalised queries and keys of width 128 (1.36 times the usual 0.088). For other widths
keep that ratio: 1.36 / sqrt(D), 0.24 at width 32.
When it hurts / conflicts: of little use without `qk_norm`: projections of queries and keys can take any factor over.
nGPT has a scale of its own.
Source: modded-nanogpt record 20; the baseline of its optimization track.
"""

import math
from collections.abc import Generator
from typing import Any, ClassVar

from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, hookimpl


class AttnScale(Plugin):
    """Wraps attention; no parameters."""

    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)
    neutral: ClassVar[dict[str, Any] | None] = {"scale": None}

    scale: PositiveFloat | None = 0.12
    """What products of queries and keys are multiplied by. Empty: 1 / sqrt(D)."""

    @hookimpl(wrapper=True)
    def make_attend(self, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return inner if self.scale is None else Scaled(inner, self.scale * math.sqrt(heads.width))


class Scaled(nn.Module):
    """Attention `inner`, which divides by sqrt(D), on q (B, T, H, D) times a number."""

    def __init__(self, inner: nn.Module, factor: float):
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q * self.factor, k, v, x, ctx)
        return y
