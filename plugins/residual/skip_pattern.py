"""Bring chosen layers' outputs back to chosen later layers.

For each edge (source, target), before block `target`, with h the output of block `source`:

    gated:  x <- x + sigmoid(s) 2 sigmoid(w . x_0[:n]) h      s = -1.5 and w = 0 at first, n = `channels`
    plain:  x <- x + s h                                       s = 1 at first

x_0 is rms of what entered the first block. s is one number per edge, w a row of n weights; neither decays.

Suggested settings: gated, one edge from layer 3 to 6 of 11 (the default's proportions; there it stands in for an
attention, see `drop_layers`), gate_lr 0.01 to 0.05 on top of a small Adam rate. Plain: edges (6, 9), (4, 10), (2, 11).
When it hurts / conflicts: sums leave the unit sphere, so not with nGPT. Loops have no later layers, and routed blocks
see some tokens only.
Source: modded-nanogpt record 32 (gated), its medium track record 6 (plain).
"""

from collections.abc import Callable, Generator
from typing import Annotated, ClassVar, Self

from coregpt_plugins._shared.stream import Before, Behind, like
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, PluginError, RMSNorm, Site, hookimpl

Edge = tuple[NonNegativeInt, NonNegativeInt]
FIRST = ("skip_pattern", "first")


class SkipPattern(Plugin):
    """Wraps blocks at both ends of an edge."""

    conflicts: ClassVar[tuple[str, ...]] = ("looped", "mixture_of_depths", "ngpt")

    edges: Annotated[tuple[Edge, ...], Field(min_length=1)] | None = None
    """(source, target) layers. Empty: one edge from (L - 1) // 3 to (L + 1) // 2."""
    gated: bool = True
    """Let each token's embedding decide how much it takes."""
    channels: PositiveInt = 12
    """Channels of x_0 that a gate reads."""
    init: float | None = None
    """s at first. Empty: -1.5 if gated, else 1."""
    gate_lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of w."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        for source, target in self.edges or ():
            if source >= target:
                raise ValueError(f"edges go to later layers, but ({source}, {target}) does not")
        return self

    def all_edges(self, at: Site) -> tuple[Edge, ...]:
        depth = at.shape.depth
        edges = self.edges or (((depth - 1) // 3, (depth + 1) // 2),)
        if worst := [edge for edge in edges if edge[1] >= depth]:
            raise PluginError(f"skip_pattern: edge {worst[0]} of a model with {depth} layers")
        if self.gated and self.channels > at.shape.dim:
            raise PluginError(f"skip_pattern: channels ({self.channels}) exceeds model.dim ({at.shape.dim})")
        return edges

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        stack, norm = (yield), RMSNorm(at.shape.dim)
        return Before(stack, FIRST, lambda x, ctx: norm(x)) if self.gated else stack

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        for source, target in self.all_edges(at):
            block = Taking(at.child(f"skip_from_{source}"), block, source, self) if target == at.layer else block
        leaves = any(source == at.layer for source, _ in self.all_edges(at))
        return Behind(block, ("skip_pattern", at.layer)) if leaves else block

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if ".skip_from_" not in param.path:
            return None
        return ParamRule(lr=self.gate_lr if param.role == "gate" else 1.0, weight_decay=0.0)


class Taking(nn.Module):
    """A block that reads the stream with block `source`'s output added."""

    def __init__(self, at: Site, block: nn.Module, source: int, options: SkipPattern):
        super().__init__()
        self.block, self.source, self.channels = block, source, options.channels
        init = (-1.5 if options.gated else 1.0) if options.init is None else options.init
        self.share = at.scale("share", (), init)
        self.gate = at.linear("gate", self.channels, 1, role="gate", std=0.0) if options.gated else None

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        share: Tensor = self.share
        if self.gate is not None:
            opened = 2 * self.gate(ctx.saved[FIRST][..., : self.channels]).sigmoid()
            share = share.sigmoid() * like(opened, x)
        y: Tensor = self.block(x + share * like(ctx.saved["skip_pattern", self.source], x), ctx)
        return y
