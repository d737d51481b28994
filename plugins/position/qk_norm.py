"""Normalise queries and keys before they meet, so that attention scores cannot grow without bound.

Every head's q and k (width D) become `x / rms(x)`, without gain and before any rotation: both have length
sqrt(D), so a score lies within [-sqrt(D), sqrt(D)] whatever the projections do. Computed in fp32.

Suggested settings: none to set; allows higher learning rates.
When it hurts / conflicts: attention cannot become sharper than the bound allows. nGPT brings its own norm.
Source: Henry et al. 2020, arXiv:2010.04245; Dehghani et al. 2023, arXiv:2302.05442; modded-nanogpt record 5.
"""

from collections.abc import Generator

from torch import Tensor, nn

from coregpt.api import Context, Plugin, RMSNorm, hookimpl


class NormThenPosition(nn.Module):
    """RMS norm over D of q and k (B, T, H, D), then the position they had."""

    def __init__(self, inner: nn.Module, dim: int):
        super().__init__()
        self.inner = inner
        self.norm = RMSNorm(dim)

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        q, k = (self.norm(x.float()).to(x.dtype) for x in (q, k))
        turned: tuple[Tensor, Tensor] = self.inner(q, k, ctx)
        return turned


class QkNorm(Plugin):
    @hookimpl(wrapper=True)
    def make_position(self, dim: int) -> Generator[None, nn.Module, nn.Module]:
        return NormThenPosition((yield), dim)
