"""Skip whole branches of random rows while training: a shallower model each time, all of it in evaluation.

Branch i of n (attention and MLP of each layer, in order) is skipped for a row with probability p_i, and what it writes
is divided by 1 - p_i otherwise: the mean stays what it was. `linear` lets p_i grow from 0 at the first branch to
`rate` at the last; `constant` has p_i = `rate`. Nothing is skipped in evaluation.

Suggested settings: 0.1 to 0.2, linear, for deep models that read their text several times.
When it hurts / conflicts: with one pass over the text it mostly costs loss. Skipped branches are computed all the
same, so no time is saved.
Source: Huang et al. 2016, arXiv:1603.09382.
"""

from collections.abc import Generator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class StochasticDepth(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"rate": 0.0}

    rate: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability that the last branch is skipped."""
    shape: Literal["linear", "constant"] = "linear"
    """How the probability depends on depth."""

    @hookimpl(wrapper=True)
    def make_connection(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        p = self.probability(at)
        return SkipBranch(at, inner, p) if p else inner

    def probability(self, at: Site) -> float:
        """p_i of the branch that the site connects; a site outside blocks counts as the last."""
        last = 2 * at.shape.depth - 1
        branch = last if at.layer is None else 2 * at.layer + (".mlp." in at.path)
        return self.rate if self.shape == "constant" else self.rate * branch / last


class SkipBranch(nn.Module):
    """A connection that writes nothing for some rows."""

    def __init__(self, at: Site, inner: nn.Module, p: float):
        super().__init__()
        self.inner: Any = inner
        self.noise, self.p = at.random("stochastic_depth"), p

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        found: Tensor = self.inner.read(x, ctx)
        return found

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        drawn = ctx.random(self.noise, (len(y), *[1] * (y.dim() - 1)))
        if drawn is not None:
            y = y * ((drawn >= self.p) / (1 - self.p)).to(y.dtype)
        written: Tensor = self.inner.write(x, y, ctx)
        return written
