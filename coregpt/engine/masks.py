"""Mask rules everybody needs: documents and sliding windows. Rules are data: equal rules share one mask."""

from dataclasses import dataclass

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
    """A query sees itself and `share` of the `dial`'s number of tokens before it.

    The window w = share x dial follows FlashAttention: q - w <= k <= q, that is w + 1 keys.
    """

    dial: str
    share: float = 1.0

    def __call__(self, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        return k >= q - self.share * ctx.dials[self.dial]  # a matrix of differences would take twice as long


def document_numbers(tokens: Tensor, separator: int) -> Tensor:
    """(B, T) running count of separators up to and including each position."""
    return (tokens == separator).cumsum(dim=1)
