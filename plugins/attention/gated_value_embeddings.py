"""Add to the values of chosen layers a vector looked up for each token, as much of it as a gate of each head lets in.

For key head h of a layer that reads table VE_j (V, width of v), with x attention's input:

    v_h <- v_h + 2 sigmoid(W_h u) VE_j[token]_h,     u = (x[:channels], VE_j[token][:table_channels])

W (heads, channels + table_channels) starts at zero, so the factor at 1. Unlike `value_embeddings`, nothing scales the
layer's own values, and a layer without a table is the plain one.

Suggested settings: one table each for layers 1, 2, 8, 9 and 10 of 11 (the default's proportions), 6 channels of both,
tables at N(0, 0.01^2) with lr 75, decay 375 and betas (0.75, 0.95) on top of a small Adam rate. Medium track: five
tables for the first five and the last five of 16 layers, 16 channels of x, tables at zero.
When it hurts / conflicts: adds V x width of v parameters a table and hardly any FLOPs: compare parameters, not just
loss. Tables at zero, read through a gate, learn from the first step; the gate from the second.
Source: modded-nanogpt record 70 (layers, gate of both), records 49 and 55 and its medium track (gate of x).
"""

from collections.abc import Generator
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from coregpt.api import Context, Heads, ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl

NAME = "gated_value_embeddings"
Layers = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]


class GatedValueEmbeddings(Plugin):
    """Wraps attention of chosen layers."""

    neutral: ClassVar[dict[str, Any] | None] = {"tables": ()}

    tables: tuple[Layers, ...] | None = None
    """For each table the layers that read it. Empty: one each for n L // 11 with n in 1, 2, 8, 9, and for the last."""
    channels: NonNegativeInt = 6
    """Channels of attention's input that the gate reads."""
    table_channels: NonNegativeInt = 6
    """Channels of the looked-up vector that the gate reads."""
    std: NonNegativeFloat = 0.01
    """Standard deviation of the initial tables."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of the tables."""
    decay: NonNegativeFloat = 1.0
    """Multiplies the weight decay of the tables."""

    def layers_of(self, depth: int) -> tuple[Layers, ...]:
        """The layers that read each table; of none two."""
        if self.tables is None:
            return tuple((layer,) for layer in sorted({*(n * depth // 11 for n in (1, 2, 8, 9)), depth - 1}))
        named = [layer for layers in self.tables for layer in layers]
        if wrong := [layer for layer in named if layer >= depth]:
            raise PluginError(f"{NAME}: layer {wrong[0]} of a model with {depth} layers")
        if twice := [layer for layer in named if named.count(layer) > 1]:
            raise PluginError(f"{NAME}: layer {twice[0]} reads two tables; one is meant")
        return self.tables

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        numbers = [n for n, layers in enumerate(self.layers_of(at.shape.depth)) if at.layer in layers]
        if not numbers:
            return inner
        width = heads.keys * heads.value_width
        if self.channels > at.shape.dim or self.table_channels > width:
            raise PluginError(
                f"{NAME}: channels of {at.shape.dim} and {width}, asked for {self.channels} and {self.table_channels}"
            )
        table = at.shared(f"{NAME}.{numbers[0]}", lambda site: Table(site, width, self.std))
        return Gated(at.child(NAME), heads, inner, table, self)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if not param.path.startswith(f"shared.{NAME}."):
            return None
        return ParamRule(lr=self.lr, weight_decay=self.decay)


class Table(nn.Module):
    """VE (V, Hk Dv), one row per token id."""

    def __init__(self, at: Site, width: int, std: float):
        super().__init__()
        self.weight = at.weight("weight", (at.shape.vocab, width), "table", std)


class Gated(nn.Module):
    """Attention `inner` on values (B, T, Hk, Dv) with the tokens' own vectors added."""

    def __init__(self, at: Site, heads: Heads, inner: nn.Module, table: Table, options: GatedValueEmbeddings):
        super().__init__()
        self.inner, self.table = inner, table
        self.reads = (options.channels, options.table_channels)
        self.gate = at.linear("gate", sum(self.reads), heads.keys, role="gate", std=0.0) if sum(self.reads) else None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        row = F.embedding(ctx.tokens, self.table.weight)
        found = row.unflatten(-1, v.shape[-2:])
        if self.gate is not None:
            seen = torch.cat((x[..., : self.reads[0]], row[..., : self.reads[1]].to(x.dtype)), -1)
            found = found * (2 * self.gate(seen).sigmoid()).unsqueeze(-1)
        y: Tensor = self.inner(q, k, (v + found).to(v.dtype), x, ctx)
        return y
