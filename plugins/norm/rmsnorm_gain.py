"""Give every RMS norm a learned gain per channel.

    y = g * x / rms(x)      g (dim,), ones at first

At every site that has a norm: before attention, before the MLP and before the head, and where other techniques put one
(after the embedding, after a branch). The training starts as without it. Gains do not decay
unless `decay` says so.

Suggested settings: the default; `decay` is the optimization track's.
When it hurts / conflicts: a gain before a linear map can be taken into the map, so it changes how training moves, not
what the model can say; under weight decay the two differ. LayerNorm has gains of its own, and nGPT no norms.
Source: Zhang & Sennrich 2019, arXiv:1910.07467; modded-nanogpt's optimization track (fp32 gains).
"""

from collections.abc import Generator
from typing import ClassVar

from torch import Tensor, nn

from coregpt.api import ParamInfo, ParamRule, Plugin, Site, hookimpl


class Gained(nn.Module):
    """The norm `inner` of x (..., dim), each channel times its gain; in the dtype that `inner` gives."""

    def __init__(self, at: Site, inner: nn.Module, dim: int):
        super().__init__()
        self.inner = inner
        self.gain = at.scale("norm_gain", (dim,), 1.0)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return (y * self.gain).to(y.dtype)


class RmsnormGain(Plugin):
    """Wraps norms."""

    conflicts: ClassVar[tuple[str, ...]] = ("layernorm", "ngpt")

    decay: bool = False
    """Gains decay as other parameters do."""

    @hookimpl(wrapper=True)
    def make_norm(self, at: Site, dim: int) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return inner if isinstance(inner, nn.Identity) else Gained(at, inner, dim)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(weight_decay=0.0) if param.path.endswith(".norm_gain") and not self.decay else None
