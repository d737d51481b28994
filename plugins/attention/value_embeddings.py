"""Give attention's values a second source: a vector looked up for each token, past the residual stream.

In chosen layers `v <- own v + table VE[token]`, in all others `v <- own v`, with learned scalars `own` and `table` per
layer and tables (V, width of v) that layers share by layout (L layers, tables named 0, 1, 2; a dot is a layer without
one):
- `full`: every layer has its own.
- `unet`: layers j and L - 1 - j share table j; an odd depth's middle layer has none (`012210`, `01.10`).
- `sparse`: three `tables`, `012....012`; two for 4 or 5 layers, one for 2 or 3.
- `none`: no layer (the plain model).
With `gate_inputs` n, each key head multiplies its VE vector by `2 sigmoid(W u)`, u being the first n channels of the
attention's input; W starts at zero, the factor at 1. Nothing that is added here decays.

Suggested settings: sparse with (0.5, 0.5) and a table learning rate well above the matrices' (Adam), as record 17;
later records: own 1, tables at N(0, 0.01^2), gate_inputs 12. Records 14 and 15 tie the two: (1 - table) v + table VE.
When it hurts / conflicts: adds V x width of v parameters a table (hardly any FLOPs): compare parameters, not just loss.
Source: modded-nanogpt records 14, 15, 17 and 55; Zhou et al. 2024 (value residual), arXiv:2410.17897.
"""

from collections.abc import Generator
from typing import Any, ClassVar, Literal, Self

import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from coregpt.api import Context, Heads, ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl

Layout = Literal["full", "unet", "sparse", "none"]


def table_of(layout: Layout, depth: int, layer: int, most: int = 3) -> int | None:
    """Number of the table that `layer` reads, None for none; `most` tables where the layout is sparse."""
    if layout == "none":
        return None
    if layout == "full":
        return layer
    tables = depth // 2 if layout == "unet" else min(most, depth // 2)
    from_end = depth - 1 - layer
    if layer < tables:
        return layer
    if from_end < tables:
        return from_end if layout == "unet" else tables - 1 - from_end
    return None


class ValueTable(nn.Module):
    """VE (V, Hk Dv), one row per token id."""

    def __init__(self, at: Site, width: int, std: float):
        super().__init__()
        self.weight = at.weight("weight", (at.shape.vocab, width), "table", std)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.weight)


class ScaledValues(nn.Module):
    """Attention `inner` on v (B, T, Hk, Dv) times one learned number: a layer without a table."""

    def __init__(self, at: Site, inner: nn.Module, options: "ValueEmbeddings"):
        super().__init__()
        self.inner = inner
        self.own_share = at.scale("own", (), options.own)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q, k, (self.own_share * v).to(v.dtype), x, ctx)
        return y


class MixedValues(nn.Module):
    """Attention `inner` on v (B, T, Hk, Dv) mixed with the tokens' own vectors."""

    def __init__(self, at: Site, heads: Heads, inner: nn.Module, table: ValueTable, options: "ValueEmbeddings"):
        super().__init__()
        self.inner, self.table, self.reads = inner, table, options.gate_inputs
        self.own_share = at.scale("own", (), options.own)
        self.table_share = at.scale("table", (), options.table)
        self.gate = at.linear("gate", self.reads, heads.keys, role="gate", std=0.0) if self.reads else None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        found = self.table(ctx.tokens).unflatten(-1, v.shape[-2:])
        if self.gate is not None:
            found = found * (2 * self.gate(x[..., : self.reads]).sigmoid()).unsqueeze(-1)
        mixed = self.own_share * v + self.table_share * found
        y: Tensor = self.inner(q, k, mixed.to(v.dtype), x, ctx)
        return y


class ValueEmbeddings(Plugin):
    neutral: ClassVar[dict[str, Any]] = {"layout": "none"}

    layout: Layout = "sparse"
    """Which layer reads which table."""
    tables: PositiveInt = 3
    """Tables of `sparse`; fewer in a model with less than twice as many layers."""
    own: float = 0.5
    """Initial weight of the layer's own values, in layers without a table too."""
    table: float = 0.5
    """Initial weight of the looked-up vectors."""
    std: NonNegativeFloat = 0.01
    """Standard deviation of the initial tables; 0 starts them at zero."""
    lr: PositiveFloat = 1.0
    """Multiplies the learning rate of the tables."""
    gate_inputs: NonNegativeInt = 0
    """Channels of attention's input that gate the looked-up vectors, per head; 0 means no gate."""

    @model_validator(mode="after")
    def _can_learn(self) -> Self:
        if self.table == 0 and self.std == 0:
            raise ValueError("table and std are both 0: neither would ever get a gradient; make one positive")
        return self

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        depth, dim = at.shape.depth, at.shape.dim
        if self.layout in ("unet", "sparse") and depth < 2:
            raise PluginError(f"value_embeddings: layout '{self.layout}' needs at least 2 layers, got {depth}")
        if self.gate_inputs > dim:
            raise PluginError(f"value_embeddings: gate_inputs ({self.gate_inputs}) exceeds model.dim ({dim})")
        if self.layout == "none":
            return inner
        number = None if at.layer is None else table_of(self.layout, depth, at.layer, self.tables)
        own = at.child("value_embeddings")
        if number is None:
            return ScaledValues(own, inner, self)
        width = heads.keys * heads.value_width
        table = at.shared(f"value_embeddings.{number}", lambda site: ValueTable(site, width, self.std))
        return MixedValues(own, heads, inner, table, self)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if param.path.startswith("shared.value_embeddings."):
            return ParamRule(lr=self.lr, weight_decay=0.0)
        return ParamRule(weight_decay=0.0) if ".value_embeddings." in param.path else None
