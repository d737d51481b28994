"""Add a learned vector per position to the embedding, beside positions that attention brings.

    x_0 = E[token] + P[t]      P (context, dim)

The plain model has this table already, and loses it where another technique tells attention where tokens stand (rope).
This brings it back there: P is added before the norm that may follow the embedding.

Suggested settings: none to set. Starts as N(0, init_std^2), and decays as the embedding does.
When it hurts / conflicts: what is said twice is learned twice; nothing is known of positions past the context. nGPT's
stream begins on the sphere, to which a sum does not keep.
Source: Radford et al. 2019 (GPT-2); beside rope: NanoPoor.
"""

from collections.abc import Generator
from typing import ClassVar

from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class LearnedPositions(Plugin):
    """Goes around the norm before the first block."""

    after: ClassVar[tuple[str, ...]] = ("layernorm", "rmsnorm_gain")
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)
    requires: ClassVar[tuple[str, ...]] = ("rope",)

    @hookimpl(wrapper=True)
    def make_norm(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return Placed(at, inner) if at.name == "entry_norm" else inner


class Placed(nn.Module):
    """`inner` of x (B, T, dim) plus the first T rows of the table."""

    def __init__(self, at: Site, inner: nn.Module):
        super().__init__()
        self.inner = inner
        self.weight = at.weight("learned_positions", (at.shape.context, at.shape.dim), "embedding", at.shape.init_std)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x + self.weight[: x.shape[1]])
        return y
