"""Parts around the stack and around blocks, for techniques that bring a vector back to the residual stream."""

from collections.abc import Callable, Hashable

from torch import Tensor, nn

from coregpt.api import Context

Key = Hashable


class Before(nn.Module):
    """The stack `inner`; before it runs, `make(x, ctx)` is left in `ctx.saved[key]`."""

    def __init__(self, inner: nn.Module, key: Key, make: Callable[[Tensor, Context], Tensor]):
        super().__init__()
        self.inner, self.key, self.make = inner, key, make

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        ctx.saved[self.key] = self.make(x, ctx)
        y: Tensor = self.inner(x, ctx)
        return y


class Behind(nn.Module):
    """The block `inner`, whose output is left in `ctx.saved[key]`."""

    def __init__(self, inner: nn.Module, key: Key):
        super().__init__()
        self.inner, self.key = inner, key

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(x, ctx)
        ctx.saved[self.key] = y
        return y


def like(vector: Tensor, x: Tensor) -> Tensor:
    """`vector` (B, T, dim), so that it can be added to x: the same, or the same to each of n lanes (B, T, n, dim)."""
    return vector.unsqueeze(-2) if vector.dim() < x.dim() else vector
