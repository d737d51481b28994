"""What a loss is evaluated on: the front of a stream, by tokens or by whole documents of text."""

import numpy as np
import torch
from torch import Tensor

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import DataError
from coregpt.engine.data.shards import TokenStream
from coregpt.engine.data.source import TokenSource

NO_TARGET = -100
"""A target that counts in no loss; it fills the last row of a text."""
PIECE = 2**20
"""Tokens that are looked at together."""


def eval_rows(stream: TokenStream, context: int, tokens: int, name: str = "held_out") -> tuple[Tensor, Tensor]:
    """The fixed evaluation rows: the first `tokens` tokens in order, int64 (tokens // context, context).

    Each of them has a target; the last one's is the token after it. Raises DataError when `tokens` is not
    whole rows or the stream, which `name` names, is too short.
    """
    if tokens < 1 or tokens % context:
        raise DataError(f"evaluation tokens must be a positive multiple of the context {context}, but are {tokens}")
    if tokens >= len(stream):
        raise DataError(
            f"evaluation on {tokens:,} tokens needs {tokens + 1:,}, but the stream '{name}' has {len(stream):,}; "
            "lower eval_tokens"
        )
    both = torch.from_numpy(stream.slice(0, tokens + 1))
    return both[:-1].view(-1, context), both[1:].view(-1, context)


def judged_rows(source: TokenSource, stream: TokenStream, config: RunConfig, name: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets, int64 (N, context), of what a run is evaluated on in one stream of its source."""
    context = config.model.context
    if config.eval_bytes is None:
        return eval_rows(stream, context, config.eval_tokens, name)
    first, last = whole_documents(source, stream, config.eval_bytes, name)
    tokens = torch.from_numpy(stream.slice(first, last - first))
    missing = -(len(tokens) - 1) % context
    inputs = torch.cat((tokens[:-1], tokens.new_zeros(missing)))
    targets = torch.cat((tokens[1:], tokens.new_full((missing,), NO_TARGET)))
    return inputs.view(-1, context), targets.view(-1, context)


def whole_documents(source: TokenSource, stream: TokenStream, most: int, name: str) -> tuple[int, int]:
    """(first, end): the first whole documents of a stream that have `most` bytes of text at most together.

    They begin with the separator of the first one and end before that of the next. Raises DataError where nothing is
    known of bytes or documents, or where not one document fits.
    """
    if source.separator is None:
        raise DataError(f"eval_bytes needs documents, and {source.name} has no separator between them")
    first, end, size = -1, 0, 0
    for start in range(0, len(stream), PIECE):
        ids = stream.slice(start, min(PIECE, len(stream) - start))
        sizes = source.sizes_of(ids)
        if sizes is None:
            raise DataError(f"eval_bytes needs to know the bytes of every token, and {source.name} does not say them")
        borders = np.flatnonzero(ids == source.separator)
        if first < 0:
            if not len(borders):
                continue
            first = start + int(borders[0])
            sizes[: borders[0]] = 0  # the end of a document whose beginning is elsewhere
        before = size + np.cumsum(sizes)  # at a separator, which has no bytes: the text before it
        fitting = borders[(before[borders] <= most) & (start + borders > first)]
        end = start + int(fitting[-1]) if len(fitting) else end
        size = int(before[-1])
        if size > most:
            break
    else:
        end = len(stream) if first >= 0 else end
    if end <= first + 1:
        raise DataError(f"no whole document of '{name}' of {source.name} has {most:,} bytes or less; raise eval_bytes")
    return first, end
