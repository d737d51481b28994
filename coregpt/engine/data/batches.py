"""Which rows are trained on and in which order: a function of (data seed, position) and nothing else.

No plugin, world size or micro-batch takes part: a rank asks for its own positions.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coregpt.contract.data_config import Points
from coregpt.contract.errors import DataError
from coregpt.engine.data.cutting import ContiguousRows, Cut
from coregpt.engine.data.shards import TokenStream

TRAIN_ORDER = 0  # keeps this random stream apart from any other drawn with the same seed
STREAM_START = 4
MIXTURE = 5


class Order(Protocol):
    """An endless order of rows."""

    def rows(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets at positions first .. first + count - 1, int64 (count, T)."""


class RowOrder:
    """A training stream cut into rows and shuffled anew in every epoch, unless `order` says otherwise.

    `order` is that of `DataConfig`. `cut` are the rows, contiguous ones if left out. Shorter rows in the same order are
    a reshape of inputs and targets: `view(-1, T // 2)`. `which` keeps the orders of several sources apart.
    """

    def __init__(
        self,
        stream: TokenStream,
        context: int,
        data_seed: int,
        *,
        cut: Cut | None = None,
        order: Literal["shuffled", "same", "stream"] = "shuffled",
        which: int = 0,
    ):
        if data_seed < 0:
            raise DataError(f"the data seed must not be negative, but is {data_seed}")
        self.context, self.data_seed = context, data_seed
        self.cut = ContiguousRows(stream, context) if cut is None else cut
        self.n_rows = self.cut.n_rows
        self.order, self.own = order, (which,) if which else ()
        self._shuffled: tuple[int, NDArray[np.int32]] | None = None

    def rows(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets at positions first .. first + count - 1 of the endless order, int64 (count, T).

        Consecutive calls with first += count repeat no row within an epoch, whatever their counts.
        """
        return both(self.tokens(range(first, first + count)))

    def tokens(self, positions: Sequence[int]) -> NDArray[np.int64]:
        """(positions, T + 1): the rows at some positions."""
        tokens = np.empty((len(positions), self.context + 1), dtype=np.int64)
        for i, position in enumerate(positions):
            epoch, place = divmod(position, self.n_rows)
            tokens[i] = self.cut.row(int(self.permutation(epoch)[place]))
        return tokens

    def permutation(self, epoch: int) -> NDArray[np.int32]:
        """The order of rows in an epoch, shape (n_rows,); the last epoch asked for is kept.

        Sorting raw counter-based draws fixes the order for good: numpy promises stable raw streams across its
        versions, but not a stable `shuffle`.
        """
        epoch = epoch if self.order == "shuffled" else 0
        if self._shuffled is None or self._shuffled[0] != epoch:
            self._shuffled = epoch, self._drawn(epoch)
        return self._shuffled[1]

    def _drawn(self, epoch: int) -> NDArray[np.int32]:
        if self.order == "stream":
            seed = np.random.SeedSequence([self.data_seed, epoch, STREAM_START, *self.own])
            start = int(np.random.Philox(seed).random_raw(1)[0] % np.uint64(self.n_rows))
            return np.roll(np.arange(self.n_rows, dtype=np.int32), -start)
        seed = np.random.SeedSequence([self.data_seed, epoch, TRAIN_ORDER, *self.own])
        draws = np.random.Philox(seed).random_raw(self.n_rows)
        return np.argsort(draws, kind="stable").astype(np.int32)


class Mixture:
    """Rows of several orders, each drawn from one of them with a chance in proportion to its weight at that moment.

    `total` rows are the whole run, over which weights move. Rows of one source follow each other in its own order.
    Draws hang on seed and position alone: of two mixtures with equal weights at a row, both draw the same source.
    """

    def __init__(self, orders: Sequence[RowOrder | None], weights: Sequence[Points], total: int, data_seed: int):
        """None is an order whose weight is always 0."""
        self.orders = orders
        seed = np.random.SeedSequence([data_seed, 0, MIXTURE])
        draws = (np.random.Philox(seed).random_raw(total) >> np.uint64(11)) * 2.0**-53  # uniform in [0, 1)
        sums = np.cumsum([along(points, total) for points in weights], axis=0)
        borders = sums[:-1] / sums[-1]
        self.chosen = (draws >= borders).sum(axis=0).astype(np.int16)
        self.places = np.empty(total, dtype=np.int64)
        for which in range(len(orders)):
            own = self.chosen == which
            self.places[own] = np.arange(int(own.sum()))

    def rows(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """See `Order`; `total` rows and not more."""
        chosen, places = (each[first : first + count] for each in (self.chosen, self.places))
        if len(chosen) < count:
            raise DataError(f"rows {first}..{first + count} were asked of a mixture of {len(self.chosen)}")
        parts = [self._row(int(which), int(place)) for which, place in zip(chosen, places, strict=True)]
        return both(np.concatenate(parts))

    def _row(self, which: int, place: int) -> NDArray[np.int64]:
        order = self.orders[which]
        assert order is not None
        return order.tokens([place])


def along(points: Points, total: int) -> NDArray[np.float64]:
    """A weight at every one of `total` rows, (total,)."""
    at, values = np.array(points, dtype=np.float64).T
    shares = np.arange(total) / total
    ahead = np.searchsorted(at, shares, side="right")
    left, right = np.maximum(ahead - 1, 0), np.minimum(ahead, len(at) - 1)
    span = np.where(at[right] > at[left], at[right] - at[left], 1.0)
    found: NDArray[np.float64] = values[left] + (values[right] - values[left]) * ((shares - at[left]) / span)
    return np.where(left == right, values[left], found)


def both(tokens: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Inputs and targets (rows, T) of rows (rows, T + 1)."""
    whole = torch.from_numpy(tokens)
    return whole[:, :-1].contiguous(), whole[:, 1:].contiguous()
