"""How many pairs of queries and keys attention computes under a mask: what a FLOP count needs to know.

A pair is computed where its block of 128 queries x 128 keys holds at least one pair that is seen. That is what
FlexAttention computes, and for windows and causal order also what the blocks on CPUs do. Nothing here trains.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from coregpt.contract.context import Context

BLOCK = 128

Numbers = Mapping[str, float | int]
_numbers: ContextVar[Numbers | None] = ContextVar("numbers", default=None)


@dataclass(frozen=True)
class Pairs:
    """In place of a mask where nothing is computed (meta device)."""

    keys: int
    """Keys of computed blocks that one query meets, on average over queries, heads and rows."""


@contextmanager
def counting(numbers: Numbers) -> Iterator[None]:
    """Inside, masks on the meta device are what they cost, and their rules find these values of smooth dials."""
    token = _numbers.set(numbers)
    try:
        yield
    finally:
        _numbers.reset(token)


def is_counting() -> bool:
    """Whether a FLOP count is going on."""
    return _numbers.get() is not None


def causal_pairs(queries: int) -> Pairs:
    """Of a row without any other mask."""
    ends = [min(start + BLOCK, queries) for start in range(0, queries, BLOCK)]
    starts = range(0, queries, BLOCK)
    return _mean(sum((end - start) * end for start, end in zip(starts, ends, strict=True)), queries)


def counted_pairs(rules: Sequence[Any], ctx: Context, places: Tensor | None, heads: int) -> Pairs:
    """Of a causal mask AND every rule, computed with real index tensors.

    Dials have the values of `counting`; tokens are zeros, and so are document numbers where there are any: a row is
    counted as one document.
    """
    length = ctx.tokens.shape[1] if places is None else places.shape[-1]
    dials = {name: _known(name, value) for name, value in ctx.dials.items()}
    known = replace(ctx, tokens=_zeros(ctx.tokens), dials=dials, documents=_zeros(ctx.documents))
    at = torch.arange(length) if places is None or places.device.type == "meta" else places.reshape(-1, length)[0]
    b, h = torch.zeros(1, 1, 1, 1, dtype=torch.int64), torch.arange(heads).view(1, -1, 1, 1)
    keys, pairs = torch.arange(length), 0.0
    for start in range(0, length, BLOCK):
        here = slice(start, min(start + BLOCK, length))
        seen = (keys[here, None] >= keys)[None, None]
        for rule in rules:
            seen = seen & rule(b, h, at[here].view(1, 1, -1, 1), at.view(1, 1, 1, -1), known)
        blocks = F.pad(seen.any(-2), (0, -length % BLOCK)).unflatten(-1, (-1, BLOCK)).any(-1)
        widths = torch.full(blocks.shape[-1:], float(BLOCK))
        widths[-1] -= -length % BLOCK
        pairs += (here.stop - here.start) * float((blocks * widths).sum(-1).mean())
    return _mean(pairs, length)


def _zeros(like: Tensor | None) -> Any:
    """One row of them."""
    return None if like is None else torch.zeros(1, like.shape[1], dtype=torch.int64)


def _mean(pairs: float, queries: int) -> Pairs:
    return Pairs(max(1, round(pairs / queries)))


def _known(name: str, value: Tensor | int | float) -> Tensor | int | float:
    return torch.tensor(float((_numbers.get() or {})[name])) if isinstance(value, Tensor) else value
