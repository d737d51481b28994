"""Mask rules everybody needs: documents and sliding windows. Rules are data: equal rules share one mask."""

from dataclasses import dataclass

import torch
from torch import Tensor

from coregpt.contract.context import Context


@dataclass(frozen=True)
class SameDocument:
    """A query sees only keys of its own document; a separator token opens the document it precedes."""

    def __call__(self, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        if ctx.documents is None:
            raise RuntimeError("the document rule needs ctx.documents")
        return ctx.documents[b, q] == ctx.documents[b, k]


@dataclass(frozen=True)
class SlidingWindow:
    """A query sees the last w = share x dial keys, itself the last of them: q - w < k <= q.

    Windows are whole blocks of `block` keys: w is rounded down to them, never below one, and the block of the query
    counts as a full one. With w = 256 and blocks of 128, query 384 sees keys 256 to 384.
    """

    dial: str
    share: float = 1.0
    block: int = 1

    def __call__(self, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        own = q // self.block
        blocks = self.share * ctx.dials[self.dial] // self.block
        # The first key of each query, not the distance of each pair: that would take twice as long.
        return k >= torch.minimum(own - blocks + 1, own) * self.block


def document_numbers(tokens: Tensor, separator: int) -> Tensor:
    """(B, T) running count of separators up to and including each position."""
    return (tokens == separator).cumsum(dim=1)
