"""Look a vector up for each pair of neighbouring tokens, and give it to every layer.

With H = `rows` x vocab rows of a table B (H, dim), i_t the token at t, in 32-bit integers that wrap around:

    b_t = ((36313 i_t) xor (27191 i_(t-1))) mod (H - 1),    b_0 = H - 1
    before block l:  x <- x + share_l B[b_t]

B starts at zero, share_l (a learned number per layer) at `init`: training starts as without it. Pairs that collide
share a row. With `sign_rows` each vector is also multiplied by row (i_(t-1) xor i_t) mod sign_rows of a fixed random
table of signs (position 0: row 0), so that what collides in B need not agree. Shares do not decay.

Suggested settings: rows 5 (record 62) or 7.5 (newest), init 0.1, later 0.05; sign_rows 8192 (record 83); for the table
lr 75, decay 5 and betas (0.75, 0.95) on top of a small Adam rate.
When it hurts / conflicts: adds rows x vocab x dim parameters and hardly any FLOPs: compare parameters, not just loss.
Pairs reach over the start of a document, mask or not. Sums leave the unit sphere, so not with nGPT. `quirk_pos1`
repeats the records' code, whose position 1 sees H - 1 in the place of token 0.
Source: modded-nanogpt records 62 and 83 (signs).
"""

from collections.abc import Callable, Generator
from typing import ClassVar

import torch
import torch.nn.functional as F
from coregpt_plugins._shared.stream import Before, like
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, Site, hookimpl, uniform

KEY = "bigram_hash_embed"
TABLE = "stack.bigram_hash_embed.table"


class BigramHashEmbed(Plugin):
    """Wraps the stack, which looks vectors up, and blocks, which add them."""

    conflicts: ClassVar[tuple[str, ...]] = ("mixture_of_depths", "ngpt")

    rows: PositiveFloat = 5.0
    """Rows of the table, in vocabularies."""
    init: float = 0.05
    """share_l at first."""
    sign_rows: NonNegativeInt = 0
    """Rows of the table of signs; 0 means no signs."""
    quirk_pos1: bool = False
    """Hash position 1 as the records' code does."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of the table."""
    decay: NonNegativeFloat = 1.0
    """Multiplies the weight decay of the table."""

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        return Before((yield), KEY, Bigrams(at.child(KEY), self))

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        return block if at.layer is None else Given(at, block, self.init)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if param.path == TABLE:
            return ParamRule(lr=self.lr, weight_decay=self.decay)
        return ParamRule(weight_decay=0.0) if param.path.endswith(".bigram_share") else None


def bigram_rows(tokens: Tensor, rows: int, quirk: bool) -> Tensor:
    """b (B, T) int64 of tokens (B, T)."""
    before = F.pad(tokens[:, :-1], (1, 0))
    if quirk:
        place = torch.arange(tokens.shape[1], device=tokens.device)
        before = torch.where(place == 1, rows - 1, before)
    mixed = (36313 * tokens) ^ (27191 * before)
    wrapped = (mixed + 2**31) % 2**32 - 2**31
    found = wrapped % (rows - 1)
    return torch.cat((torch.full_like(found[:, :1], rows - 1), found[:, 1:]), 1)


class Bigrams(nn.Module):
    """`(x, ctx) -> vectors` (B, T, dim) of the tokens of the pass."""

    signs: Tensor | None

    def __init__(self, at: Site, options: BigramHashEmbed):
        super().__init__()
        self.rows, self.quirk = max(2, round(options.rows * at.shape.vocab)), options.quirk_pos1
        self.table = at.weight("table", (self.rows, at.shape.dim), "table", std=0.0)
        signs = None
        if options.sign_rows:
            drawn = uniform(
                at.random("signs"),
                torch.arange(options.sign_rows, device=at.device),
                (options.sign_rows, at.shape.dim),
            )
            signs = 2 * (drawn < 0.5).float() - 1
        self.register_buffer("signs", signs, persistent=False)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        found = F.embedding(bigram_rows(ctx.tokens, self.rows, self.quirk), self.table)
        if self.signs is None:
            return found
        pair = (ctx.tokens[:, :-1] ^ ctx.tokens[:, 1:]) % len(self.signs)
        return found * self.signs[F.pad(pair, (1, 0))]


class Given(nn.Module):
    """A block that reads the stream with the tokens' vectors added."""

    def __init__(self, at: Site, block: nn.Module, init: float):
        super().__init__()
        self.block = block
        self.share = at.scale("bigram_share", (), init)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.block(x + self.share * like(ctx.saved[KEY], x), ctx)
        return y
