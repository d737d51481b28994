"""Silence random channels while training, so that no channel can be relied on alone.

Each number of a branch's output, just before it meets the residual stream, and of the embedded tokens, is set to zero
with its probability p, and divided by 1 - p otherwise: the mean stays what it was. Nothing is dropped in evaluation.
Which numbers fall depends on the seed, the site and the row's place in the run, not on ranks or micro-batches.

Suggested settings: 0.1 where the text is read several times; 0 for a single pass over it, as in large pre-training.
When it hurts / conflicts: with one pass over the text there is little to learn by heart, and the noise costs loss.
Attention probabilities are not dropped (GPT-2 drops them too). A block that is passed several times in one forward
pass drops the same channels each time. Drawing the numbers takes time on a CPU.
Source: Srivastava et al. 2014 (JMLR 15); Vaswani et al. 2017, arXiv:1706.03762, section 5.4.
"""

from collections.abc import Generator
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl

Probability = Annotated[float, Field(ge=0, lt=1)]


class Dropout(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"branch": 0.0, "embedding": 0.0}

    branch: Probability = 0.1
    """Share of the numbers that attention and MLP write which is dropped."""
    embedding: Probability = 0.1
    """Share of the numbers of embedded tokens which is dropped."""

    @hookimpl(wrapper=True)
    def make_connection(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return DropBranch(at, inner, self.branch) if self.branch else inner

    @hookimpl(wrapper=True)
    def make_embedding(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return DropEmbedding(at, inner, self.embedding) if self.embedding else inner


class Drop(nn.Module):
    """x (B, ...) with a share p of its numbers at zero and the rest divided by 1 - p; x itself in evaluation."""

    def __init__(self, at: Site, p: float):
        super().__init__()
        self.noise, self.p = at.random("dropout"), p

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        drawn = ctx.random(self.noise, tuple(x.shape))
        return x if drawn is None else x * ((drawn >= self.p) / (1 - self.p)).to(x.dtype)


class DropBranch(nn.Module):
    """A connection that writes what is left of a branch."""

    def __init__(self, at: Site, inner: nn.Module, p: float):
        super().__init__()
        self.inner: Any = inner
        self.drop = Drop(at, p)

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        found: Tensor = self.inner.read(x, ctx)
        return found

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        written: Tensor = self.inner.write(x, self.drop(y, ctx), ctx)
        return written


class DropEmbedding(nn.Module):
    """An embedding of which some numbers are missing."""

    def __init__(self, at: Site, inner: nn.Module, p: float):
        super().__init__()
        self.inner, self.drop = inner, Drop(at, p)

    def forward(self, tokens: Tensor, ctx: Context) -> Tensor:
        x: Tensor = self.drop(self.inner(tokens, ctx), ctx)
        return x
