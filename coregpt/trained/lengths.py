"""Rows longer than those that a model was trained on: its loss by the number of tokens that stand before."""

import math
from dataclasses import dataclass

import numpy as np

from coregpt.contract.errors import ConfigError, CoreGPTError
from coregpt.engine.data import TokenStream
from coregpt.trained.breakdown import Part, split
from coregpt.trained.opening import Trained
from coregpt.trained.scoring import Scored, score

BUCKETS = 16
"""Parts of a row."""


@dataclass(frozen=True)
class Longer:
    """Rows of one length."""

    length: int
    rows: int
    parts: list[Part]
    """By position, in equal stretches."""
    refused: str = ""
    """Why the model takes no such rows."""

    def perplexities(self) -> list[tuple[str, float]]:
        return [(part.name, math.exp(min(part.mean.value, 700.0))) for part in self.parts]


def extrapolate(model: Trained, stream: TokenStream, count: int, times: int, name: str) -> Longer:
    """As many whole rows, `times` longer than those of training, as `count` tokens are. Raises ConfigError for none."""
    length = model.context * times
    scored = _scored(model, stream, count, times, name)
    if isinstance(scored, str):
        return Longer(length, count // length, [], scored)
    step = -(-length // BUCKETS)
    place = np.broadcast_to(np.arange(length), scored.losses.shape)
    edges = [(start, min(start + step, length)) for start in range(0, length, step)]
    where = [(f"{low:,} to {high - 1:,}", (place >= low) & (place < high)) for low, high in edges]
    return Longer(length, len(scored.losses), split(scored.losses, where))


def beyond(model: Trained, stream: TokenStream, count: int, times: int, name: str) -> float | str:
    """The mean loss of the tokens of such rows that stand where training had none; why there is none, in words."""
    scored = _scored(model, stream, count, times, name)
    return scored if isinstance(scored, str) else float(scored.losses[:, model.context :].mean())


def _scored(model: Trained, stream: TokenStream, count: int, times: int, name: str) -> Scored | str:
    """Such rows, or why the model takes none."""
    length = model.context * times
    rows = count // length
    if rows < 1:
        raise ConfigError(f"rows of {length:,} tokens need --tokens {length:,} or more, and it is {count:,}")
    try:
        longer = model.longer(times)
    except CoreGPTError as error:  # a table of positions that was trained, a technique for certain lengths only
        return f"the model takes no rows of {length:,} tokens ({error})"
    return score(longer, stream, rows * length, name)
