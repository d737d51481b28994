"""Normalise behind a branch in the place of before it.

- `stream`: `x <- rms(x + branch(x))`, as the first transformers; the last one stands in for the norm before the head.
- `branch`: `x <- x + rms(branch(x))`, which leaves the stream a plain sum, and the norm before the head.

Suggested settings: `branch` with `qk_norm` and `rmsnorm_gain` (OLMo 2); `stream` with a warmup of the learning rate
and, as published, LayerNorm.
When it hurts / conflicts: `stream` takes the direct way from the head to the first layers, so deep models train slowly
or not at all without warmup. `branch` reads an unnormalised stream. Branches that start at zero (`zero_init`) give the
norm of `branch` next to nothing to divide by. nGPT has no norms.
Source: Vaswani et al. 2017, arXiv:1706.03762 (stream); Xiong et al. 2020, arXiv:2002.04745 (what warmup has to do with
it); Liu et al. 2022 (Swin v2), arXiv:2111.09883, and OLMo Team 2025 (OLMo 2), arXiv:2501.00656 (branch).
"""

from collections.abc import Generator
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from coregpt.api import Context, Plugin, RMSNorm, Site, hookimpl


class PostNorm(Plugin):
    """Claims norms; goes around connections."""

    conflicts: ClassVar[tuple[str, ...]] = ("ngpt", "sandwich_norm", "zero_init")

    place: Literal["stream", "branch"] = "branch"
    """Whether the stream is normalised or what a branch adds to it."""

    @hookimpl
    def make_norm(self, at: Site, dim: int) -> nn.Module | None:
        if at.name == "post":
            return RMSNorm(dim) if self.place == "branch" else None
        return nn.Identity() if at.name == "pre" or (at.name, self.place) == ("final_norm", "stream") else None

    @hookimpl(wrapper=True)
    def make_connection(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return inner if self.place == "branch" else Normed(at, inner)


class Normed(nn.Module):
    """The connection `inner`, and a norm of the stream behind it."""

    def __init__(self, at: Site, inner: nn.Module):
        super().__init__()
        self.inner: Any = inner
        self.norm = at.norm("stream_norm", at.shape.dim)

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        found: Tensor = self.inner.read(x, ctx)
        return found

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        written: Tensor = self.norm(self.inner.write(x, y, ctx))
        return written
