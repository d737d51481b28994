"""The sizes of one attention: how many heads it has, and how wide they are."""

from dataclasses import dataclass

from coregpt.contract.config import ModelShape
from coregpt.contract.errors import PluginError


@dataclass(frozen=True)
class Heads:
    """q (B, T, query, width), k (B, S, keys, width), v (B, S, keys, value_width), y (B, T, query, value_width).

    Query head h reads key head h // group. PluginError where the numbers do not fit.
    """

    query: int
    """Query heads, H."""
    keys: int
    """Heads of keys and values, Hk; divides `query`."""
    width: int
    """Width of queries and keys, D."""
    value_width: int
    """Width of values and of the answer, Dv."""

    def __post_init__(self) -> None:
        if min(self.query, self.keys, self.width, self.value_width) < 1:
            raise PluginError(f"attention: heads and widths must be positive, got {self}")
        if self.query % self.keys:
            raise PluginError(f"attention: {self.query} query heads cannot share {self.keys} key heads evenly")

    @property
    def group(self) -> int:
        """Query heads that share one key head."""
        return self.query // self.keys

    @classmethod
    def of(cls, shape: ModelShape, width: int | None = None) -> "Heads":
        """Those of the plain model; `width` for queries and keys of another width than its own."""
        return cls(shape.heads, shape.heads, width or shape.head_dim, shape.head_dim)
