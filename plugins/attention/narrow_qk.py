"""Give queries and keys narrower heads than values.

With H heads, q and k are (H, `width`), v stays (H, D); scores are divided by sqrt(width). Which token a head looks at
takes fewer numbers than what it takes from there: projections of q and k and the products of scores shrink.

Suggested settings: 96 where values have 128 (the record), which is what the default's three quarters are.
When it hurts / conflicts: fewer parameters: compare at equal FLOPs too. Whatever else makes the attention clashes.
Source: modded-nanogpt, short track, merged after record 89.
"""

from pydantic import PositiveInt
from torch import nn

from coregpt.api import Attention, Plugin, Site, hookimpl


class NarrowQk(Plugin):
    width: PositiveInt | None = None
    """Width of a head's queries and keys. Empty: three quarters of the plain head's, rounded down to 4 or to 2."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        plain = at.shape.head_dim
        return Attention(at, head_dim=self.width or three_quarters(plain), value_dim=plain)


def three_quarters(width: int) -> int:
    """Of a head's width, so that positions can turn pairs of it."""
    share = max(3 * width // 4, 1)
    return share // 4 * 4 or share // 2 * 2 or share
