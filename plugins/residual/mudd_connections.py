"""Let each token say, after each block, how much of every earlier layer it wants to have again.

With h_0 what entered the first block, h_j the output of block j - 1, and x = h_(i+1) after block i,

    x <- x + sum_(j <= i + 1) mu_j h_j,     mu = scale (gelu(rms(x) W_1) W_2 + b)

W_1 is (dim, width), W_2 (width, i + 2). W_2 and b start at zero: training starts as without it. b does not decay.

Suggested settings: width 64 and scale 0.1; every block (the default), or the last two with few sources (record 81: h_0,
an early layer and the last but three; b of the backout's source at -0.5 / scale).
When it hurts / conflicts: the number of sums grows with the square of the depth: name `blocks` in deep models. Sums
leave the unit sphere, so not with nGPT. Loops pass a layer several times, and routed blocks see some tokens only. The
paper has queries, keys, values and the stream aggregated apart, the record values too; here it is the stream alone.
Source: Xiao et al. 2025, arXiv:2502.12170; modded-nanogpt record 81.
"""

import math
from collections.abc import Callable, Generator
from typing import ClassVar

import torch.nn.functional as F
from coregpt_plugins._shared.stream import Before, like
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, PluginError, RMSNorm, Site, hookimpl

NAME = "mudd_connections"


class MuddConnections(Plugin):
    """Wraps blocks, and the stack to keep what enters it."""

    conflicts: ClassVar[tuple[str, ...]] = ("layer_sharing", "looped", "mixture_of_depths", "ngpt")

    blocks: tuple[NonNegativeInt, ...] | None = None
    """Blocks after which it happens. Empty: all."""
    sources: tuple[NonNegativeInt, ...] | None = None
    """Which of h_0, h_1, ... are offered, those that exist by then. Empty: all."""
    width: PositiveInt = 64
    """Of the small network that makes the coefficients."""
    scale: PositiveFloat = 0.1
    """Multiplies what it gives."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of W_1, W_2 and b."""

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        depth = at.shape.depth
        for name, numbers, end in (("blocks", self.blocks, depth), ("sources", self.sources, depth + 1)):
            if wrong := [number for number in numbers or () if number >= end]:
                raise PluginError(f"{NAME}: {name} {wrong[0]} of a model with {depth} layers")
        return Before((yield), (NAME, 0), lambda x, ctx: x)

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        if at.layer is None:
            return block
        offered = [j for j in range(at.layer + 2) if self.sources is None or j in self.sources]
        here = bool(offered) and (self.blocks is None or at.layer in self.blocks)
        return Gathering(at.child(NAME), block, offered if here else [], self)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if f".{NAME}." not in param.path:
            return None
        return ParamRule(lr=self.lr, weight_decay=0.0 if param.path.endswith(".bias") else 1.0)


class Gathering(nn.Module):
    """A block, and what its output takes from the outputs before it; it leaves the sum to later ones."""

    def __init__(self, at: Site, block: nn.Module, offered: list[int], options: MuddConnections):
        super().__init__()
        self.block, self.number, self.offered = block, (at.layer or 0) + 1, offered
        if offered:
            dim, self.scale = at.shape.dim, options.scale
            self.norm = RMSNorm(dim)
            self.inner = at.linear("inner", dim, options.width, role="gate", std=1 / math.sqrt(3 * dim))
            self.outer = at.linear("outer", options.width, len(offered), role="gate", std=0.0)
            self.bias = at.scale("bias", (len(offered),), 0.0)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.block(x, ctx)
        ctx.saved[NAME, self.number] = y
        if self.offered:
            mu = self.scale * (self.outer(F.gelu(self.inner(self.norm(y)))) + self.bias)
            gathered = y
            for place, j in enumerate(self.offered):
                gathered = gathered + mu[..., place, None] * like(ctx.saved[NAME, j], y)
            ctx.saved[NAME, self.number] = y = gathered
        return y
