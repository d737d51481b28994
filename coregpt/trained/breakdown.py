"""Where a loss comes from: by position in the row, by how common a token is, by the length of its document; and how
far a model's confidence can be believed.

Every table splits the same tokens, so the parts of each add up to the whole.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coregpt.engine.data import TokenSource, TokenStream
from coregpt.trained.estimates import Floats, Mean, mean_of_rows
from coregpt.trained.scoring import Scored

COUNTED = 20_000_000
"""Training tokens by which it is known how common one is."""
PART = 2**22
LEVELS = 10
"""Levels of confidence."""

Places = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """Some of the tokens."""

    name: str
    mean: Mean
    share: float
    """Of all tokens."""


@dataclass(frozen=True)
class Calibration:
    """How often a model is right where it is so confident."""

    levels: list[tuple[str, float, Mean]]
    """(level, mean confidence, share of right answers)."""
    error: float
    """Expected calibration error: the mean distance of the two, levels weighted by their tokens.

    Source: Naeini et al. 2015, with levels of one width.
    """


def split(values: Floats, places: Sequence[tuple[str, Places]]) -> list[Part]:
    """The mean of `values` (rows, T) in each of `places`; empty ones are left out."""
    found = [(name, mean_of_rows(values, where)) for name, where in places]
    return [Part(name, mean, mean.count / values.size) for name, mean in found if mean is not None]


def positions(scored: Scored, borders: Sequence[int] | None = None) -> list[tuple[str, Places]]:
    """By tokens that stand before in the row: 0, 1, 2 to 3, 4 to 7, ..., or with a part beginning at each border."""
    before = np.broadcast_to(np.arange(scored.losses.shape[1]), scored.losses.shape)
    return _between(before, 0, [2**power for power in range(32)] if borders is None else borders)


def frequencies(scored: Scored, source: TokenSource, borders: Sequence[int] | None = None) -> list[tuple[str, Places]]:
    """By how often the target stands in the training tokens: never, 1 to 9, 10 to 99, ..., or by `borders`."""
    counts = counted(source.train, max(source.vocab, int(scored.targets.max()) + 1))[scored.targets]
    return _between(counts, 0, [10**power for power in range(12)] if borders is None else borders)


def documents(
    scored: Scored, source: TokenSource, stream: TokenStream, borders: Sequence[int] | None = None
) -> list[tuple[str, Places]]:
    """By the length of the document that the target lies in, in tokens: 1 to 3, 4 to 15, ..., or by `borders`.

    Nothing where no separator tells documents. A document's length is told by the whole stream, also where only its
    beginning is evaluated.
    """
    if source.separator is None:
        return []
    lengths = document_lengths(stream, source.separator, scored.targets.size + 1)[1:].reshape(scored.targets.shape)
    return _between(lengths, 1, [4**power for power in range(1, 16)] if borders is None else borders)


def document_lengths(stream: TokenStream, separator: int, count: int) -> NDArray[np.int64]:
    """For each of the first `count` tokens the length of its document, the separator that opens it included."""
    starts, at = [np.zeros(1, np.int64)], 0
    while at < len(stream):
        tokens = stream.slice(at, min(PART, len(stream) - at))
        starts.append(np.flatnonzero(tokens == separator) + at)
        at += len(tokens)
        if at >= count and len(starts[-1]) and starts[-1][-1] >= count:
            break
    edges = np.unique(np.concatenate([*starts, [at]]))
    return np.repeat(np.diff(edges), np.diff(edges))[:count]


def counted(stream: TokenStream, vocab: int) -> NDArray[np.int64]:
    """How often each id stands in the first training tokens."""
    end, counts = min(len(stream), COUNTED), np.zeros(vocab, np.int64)
    for start in range(0, end, PART):
        counts += np.bincount(stream.slice(start, min(PART, end - start)), minlength=vocab)
    return counts


def calibration(scored: Scored) -> Calibration:
    """In `LEVELS` levels of one width."""
    level = np.minimum((scored.confidence * LEVELS).astype(int), LEVELS - 1)
    levels, error, right = [], 0.0, scored.right.astype(np.float64)
    for number in range(LEVELS):
        where = level == number
        mean = mean_of_rows(right, where)
        if mean is not None:
            confidence = float(scored.confidence[where].mean())
            levels.append((f"{number / LEVELS:.1f} to {(number + 1) / LEVELS:.1f}", confidence, mean))
            error += mean.count / right.size * abs(mean.value - confidence)
    return Calibration(levels, error)


def _between(values: NDArray[np.int64], least: int, borders: Sequence[int]) -> list[tuple[str, Places]]:
    """From `least` to below the first border, from each border to below the next, and on to the largest value."""
    largest = int(values.max())
    edges = [least, *(border for border in borders if least < border <= largest), largest + 1]
    found = []
    for low, high in itertools.pairwise(edges):
        name = f"{low:,}" if high == low + 1 else f"{low:,} to {high - 1:,}"
        found.append((name, (values >= low) & (values < high)))
    return found
