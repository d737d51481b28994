"""Give every layer a second embedding of its token, which only comes in by the side.

Before block l, with a table E_2 (V, dim) of its own,

    x <- x + share_l rms(E_2[token])

share_l is a learned number per layer, zero at first: training starts as without it. Shares do not decay.

Suggested settings: beside `embed_skip_x0` and `residual_decay`, as in the record; for the table lr 75 and decay 5 on
top of a small Adam rate.
When it hurts / conflicts: adds V x dim parameters and hardly any FLOPs: compare parameters, not just loss. Sums leave
the unit sphere, so not with nGPT. Routed blocks see some tokens only. How E_2 starts is not published: here as the
embedding.
Source: modded-nanogpt, medium track, record 10.
"""

from collections.abc import Callable, Generator
from typing import ClassVar

import torch.nn.functional as F
from coregpt_plugins._shared.stream import Before, like
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, RMSNorm, Site, hookimpl

KEY = "second_input_embed"
TABLE = "stack.second_input_embed.table"


class SecondInputEmbed(Plugin):
    """Wraps the stack, which looks vectors up, and blocks, which add them."""

    conflicts: ClassVar[tuple[str, ...]] = ("mixture_of_depths", "ngpt")

    init: float = 0.0
    """share_l at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of the table."""
    decay: NonNegativeFloat = 1.0
    """Multiplies the weight decay of the table."""

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        return Before((yield), KEY, SecondEmbedding(at.child(KEY)))

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        return block if at.layer is None else Given(at, block, self.init)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if param.path == TABLE:
            return ParamRule(lr=self.lr, weight_decay=self.decay)
        return ParamRule(weight_decay=0.0) if param.path.endswith(".second_input_share") else None


class SecondEmbedding(nn.Module):
    """`(x, ctx) -> rms(E_2[token])` (B, T, dim)."""

    def __init__(self, at: Site):
        super().__init__()
        self.table = at.weight("table", (at.shape.vocab, at.shape.dim), "table", at.shape.init_std)
        self.norm = RMSNorm(at.shape.dim)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        found: Tensor = self.norm(F.embedding(ctx.tokens, self.table))
        return found


class Given(nn.Module):
    """A block that reads the stream with the tokens' second vectors added."""

    def __init__(self, at: Site, block: nn.Module, init: float):
        super().__init__()
        self.block = block
        self.share = at.scale("second_input_share", (), init)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.block(x + self.share * like(ctx.saved[KEY], x), ctx)
        return y
