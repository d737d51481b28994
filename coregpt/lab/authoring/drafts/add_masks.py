"""A token sees the first tokens of its row and the last ones before it, and nothing between.

Suggested settings: a window of a quarter of the context.
When it hurts / conflicts: what is further away is lost to one layer; several layers pass it on.
Source: Xiao et al. 2023, arXiv:2309.17453 (attention sinks); replace this card by yours.
"""

from dataclasses import dataclass

from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from coregpt.api import Context, Plugin, Site, hookimpl


@dataclass(frozen=True)
class SinksAndWindow:
    """k < first or q - k < window. Data, not a closure: layers whose rules are equal share one mask."""

    first: int
    window: int

    def __call__(self, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        return (k < self.first) | (q - k < self.window)


class Draft(Plugin):
    first: NonNegativeInt = 4
    """Tokens at the beginning of a row that everybody sees."""
    window: PositiveInt = 16
    """Tokens a token sees at the end, itself among them."""

    @hookimpl
    def add_masks(self, at: Site) -> SinksAndWindow:
        return SinksAndWindow(self.first, self.window)
