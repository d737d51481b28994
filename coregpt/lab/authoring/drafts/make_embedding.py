"""Multiply the embedding by a fixed factor.

Suggested settings: the square root of the model's width, as in the first transformer.
When it hurts / conflicts: norms that ignore the size of the stream hide it in all layers but the sums.
Source: Vaswani et al. 2017, section 3.4; replace this card by yours.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class Scaled(nn.Module):
    """x <- factor x, for the (B, T, dim) that the table gives."""

    def __init__(self, inner: nn.Module, factor: float):
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, tokens: Tensor, ctx: Context) -> Tensor:
        return self.factor * self.inner(tokens, ctx)


class Draft(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"factor": 1.0}

    factor: PositiveFloat = 4.0
    """What the first vectors are multiplied by."""

    @hookimpl(wrapper=True)
    def make_embedding(self, at: Site) -> Generator[None, Any, nn.Module]:
        return Scaled((yield), self.factor)
