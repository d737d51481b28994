"""A training stream cut into rows of context + 1 tokens: inputs, and the same shifted by one as targets."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import DataError
from coregpt.engine.data.shards import TokenStream


class Cut(Protocol):
    """Rows by number, from 0 to `n_rows` - 1."""

    n_rows: int
    tokens: int
    """Of text that one epoch goes over."""

    def row(self, number: int) -> NDArray[np.int64]:
        """Its context + 1 tokens."""


class ContiguousRows:
    """Row i holds tokens i*T .. i*T + T - 1; its last target is the first token of row i + 1.

    Left-over tokens at the end, T at most, are never trained on.
    """

    def __init__(self, stream: TokenStream, context: int):
        self.stream, self.context = stream, context
        self.n_rows = (len(stream) - 1) // context
        self.tokens = len(stream)
        if self.n_rows < 1:
            raise DataError(f"a row of {context} tokens and its target do not fit in {len(stream)} training tokens")

    def row(self, number: int) -> NDArray[np.int64]:
        return self.stream.slice(number * self.context, self.context + 1)


class DocumentRows:
    """Every row begins with a separator, and so does whatever follows in it: documents from their beginnings on.

    A row takes documents in their order, `most` tokens of each at most, until it has T + 1 tokens; the last one is
    shortened to fit. What is cut off a document is left out, so the next row begins with the next document. Where a
    document was cut, the target of its last token is the separator of the one behind it.

    Source: modded-nanogpt records 26 and 29 (batches aligned to separators, a maximum document length).
    """

    def __init__(self, stream: TokenStream, context: int, separator: int, most: int | None = None):
        self.stream, self.context = stream, context
        self.begins = stream.places(separator)
        lengths = np.diff(self.begins, append=len(stream))
        self.used = lengths if most is None else np.minimum(lengths, most)
        ends = np.cumsum(self.used)
        last = np.searchsorted(ends, ends - self.used + context + 1)  # the document that fills a row begun with each
        self.firsts = _chain((last + 1).tolist())
        self.n_rows = len(self.firsts)
        self.tokens = self.n_rows * context
        if self.n_rows < 1:
            raise DataError(
                f"a row of {context} tokens and its target do not fit in the {len(self.begins):,} documents of "
                f"{len(stream):,} training tokens"
            )

    def row(self, number: int) -> NDArray[np.int64]:
        out = np.empty(self.context + 1, dtype=np.int64)
        filled, document = 0, int(self.firsts[number])
        while filled < len(out):
            take = min(int(self.used[document]), len(out) - filled)
            out[filled : filled + take] = self.stream.slice(int(self.begins[document]), take)
            filled, document = filled + take, document + 1
        return out


def _chain(following: list[int]) -> NDArray[np.int64]:
    """First documents of rows that are filled: `following` is, by document, the one behind a row begun with it."""
    firsts, document = [], 0
    while document < len(following) and following[document] <= len(following):
        firsts.append(document)
        document = following[document]
    return np.array(firsts, dtype=np.int64)
