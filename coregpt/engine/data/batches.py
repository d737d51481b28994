"""Which rows are trained on and in which order: a function of (data seed, position) and nothing else.

No plugin, world size or micro-batch takes part: a rank asks for its own positions.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coregpt.contract.errors import DataError
from coregpt.engine.data.shards import TokenStream

TRAIN_ORDER = 0  # keeps this random stream apart from any other drawn with the same seed


class RowOrder:
    """A training stream cut into rows and shuffled anew in every epoch.

    Row i holds tokens i*T .. i*T + T - 1; its targets are shifted by one, so its last target is the first
    token of row i + 1. Left-over tokens at the end, T at most, are never trained on. Shorter rows in the same
    order are a reshape of inputs and targets: `view(-1, T // 2)`.
    """

    def __init__(self, stream: TokenStream, context: int, data_seed: int):
        if data_seed < 0:
            raise DataError(f"the data seed must not be negative, but is {data_seed}")
        self.stream, self.context, self.data_seed = stream, context, data_seed
        self.n_rows = (len(stream) - 1) // context
        if self.n_rows < 1:
            raise DataError(f"a row of {context} tokens and its target do not fit in {len(stream)} training tokens")
        self._shuffled: tuple[int, NDArray[np.int32]] | None = None

    def rows(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets at positions first .. first + count - 1 of the endless order, int64 (count, T).

        Consecutive calls with first += count repeat no row within an epoch, whatever their counts.
        """
        tokens = np.empty((count, self.context + 1), dtype=np.int64)
        for i in range(count):
            epoch, position = divmod(first + i, self.n_rows)
            row = int(self.permutation(epoch)[position])
            tokens[i] = self.stream.slice(row * self.context, self.context + 1)
        both = torch.from_numpy(tokens)
        return both[:, :-1].contiguous(), both[:, 1:].contiguous()

    def permutation(self, epoch: int) -> NDArray[np.int32]:
        """The order of rows in an epoch, shape (n_rows,); the last epoch asked for is kept.

        Sorting raw counter-based draws fixes the order for good: numpy promises stable raw streams across its
        versions, but not a stable `shuffle`.
        """
        if self._shuffled is None or self._shuffled[0] != epoch:
            seed = np.random.SeedSequence([self.data_seed, epoch, TRAIN_ORDER])
            draws = np.random.Philox(seed).random_raw(self.n_rows)
            self._shuffled = epoch, np.argsort(draws, kind="stable").astype(np.int32)
        return self._shuffled[1]


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
