"""Bend attention's scores towards a largest size: no token can be preferred without limit.

Suggested settings: a cap of 20 to 50.
When it hurts / conflicts: slower than plain attention, whose scores are never written down.
Source: Gemma 2, 2024, arXiv:2408.00118; replace this card by yours.
"""

from dataclasses import dataclass

from pydantic import PositiveFloat
from torch import Tensor

from coregpt.api import Context, Plugin, Site, hookimpl


@dataclass(frozen=True)
class Capped:
    """score <- cap tanh(score / cap); b, h, q, k say which score it is, and are not needed here."""

    cap: float

    def __call__(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        return self.cap * (score / self.cap).tanh()


class Draft(Plugin):
    cap: PositiveFloat = 2.0
    """Scores lie between its negative and itself."""

    @hookimpl
    def add_score_rules(self, at: Site) -> Capped:
        return Capped(self.cap)
