"""Add to the values of one head a vector looked up for the last two and the last three tokens, behind a gate.

Every order n of `orders` has `hashes` hashes, which makes G for each token. With i_t the token at t (0 before the row),
P = 1000003, 998244353, 911382323, 805306457, H the largest prime up to `rows` vocabularies, and hash w (from 0) of the
o-th order (from 0), salted with s = 1 + 97 o + 7919 w, in 64-bit integers that wrap around:

    r = (i_t (P_0 + 2654435761 s) + sum over j = 1 .. n - 1 of i_(t-j) (P_j + 40503 s)) mod H

Row r of a table holds D / G numbers for each of the chosen layers, D being the width of a value. The l-th (from 0) of
these layers joins the G parts of its own into e_t and adds to head h = l mod heads, with x attention's input:

    v_h <- v_h + sigmoid(W x[:channels] / channels + b) e_t,      W from U(0, 0.02), b = `bias` at first

The table starts at zero and has an update of its own, at a constant rate. In a step, rows with a gradient g move, and
others not at all; A is a number for each row and layer, zero at first:

    A <- beta A + (1 - beta) mean(g^2),     row <- (1 - decay) row - lr g / (sqrt(A) + 1e-8)

Suggested settings: the default (orders 2 and 3, two hashes, the layers' proportions, the table's update). The source's
80 million rows are rows 1590 with its vocabulary; its gates have 2.5 times the rate of a small Adam.
When it hurts / conflicts: rows x vocab x layers x D / G parameters and hardly any FLOPs: compare parameters, not just
loss. Tuples of tokens reach over the start of a document, mask or not. Here the table is like any parameter, all of it
read in every step; that the source keeps it in the host's memory and fetches rows ahead is work on speed, and its bf16
rows, which every process writes by itself, are not here. `mixture_of_depths` does not show whole rows.
Source: modded-nanogpt proposal 366, after nanochat proposal 854.
"""

import math
from collections.abc import Generator
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, PrivateAttr
from torch import Tensor, nn

from coregpt.api import (
    Context,
    DecayRule,
    Dials,
    Heads,
    ParamGroup,
    ParamInfo,
    ParamRule,
    Plugin,
    PluginError,
    Share,
    Site,
    UpdateRule,
    hookimpl,
)

NAME = "ngram_values"
TABLE = f"shared.{NAME}.weight"
PRIMES = (1_000_003, 998_244_353, 911_382_323, 805_306_457)
GATE = 0.01
"""Half of the width of a gate's first values."""


class NgramValues(Plugin):
    """Wraps attention of chosen layers; claims update and decay of its table."""

    conflicts: ClassVar[tuple[str, ...]] = ("mixture_of_depths",)
    neutral: ClassVar[dict[str, Any] | None] = {"layers": ()}

    layers: tuple[NonNegativeInt, ...] | None = None
    """Layers that read the table. Empty: n L // 11 with n in 1, 2, 4, 5, 7, 8, 9, 10."""
    rows: PositiveFloat = 5.0
    """Rows of the table, in vocabularies; the largest prime up to that is taken."""
    orders: tuple[Annotated[int, Field(ge=1, le=4)], ...] = (2, 3)
    """Lengths of the tuples of tokens."""
    hashes: PositiveInt = 2
    """Hashes of each."""
    channels: PositiveInt = 12
    """Channels of attention's input that the gate reads."""
    bias: float = -3.0
    """The gate's bias at first: nearly closed."""
    lr: NonNegativeFloat = 0.2
    """Rate of the table, whatever the `lr` schedule does."""
    beta: Share = 0.99
    """Decay of A."""
    decay: Share = 0.001
    """What a row loses whenever it moves."""

    _rule: "Rows | None" = PrivateAttr(default=None)
    """The table's update, which is its decay as well: only that knows which rows moved."""

    def layers_of(self, depth: int) -> tuple[int, ...]:
        """The layers that read the table, in order."""
        if self.layers is None:
            return tuple(sorted({n * depth // 11 for n in (1, 2, 4, 5, 7, 8, 9, 10)}))
        if wrong := [layer for layer in self.layers if layer >= depth]:
            raise PluginError(f"{NAME}: layer {wrong[0]} of a model with {depth} layers")
        return tuple(sorted(set(self.layers)))

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        layers, parts = self.layers_of(at.shape.depth), len(self.orders) * self.hashes
        if at.layer not in layers:
            return inner
        if heads.value_width < parts or self.channels > at.shape.dim:
            raise PluginError(
                f"{NAME}: {parts} hashes and {self.channels} channels, of values {heads.value_width} wide and an input "
                f"of {at.shape.dim}"
            )
        width = heads.value_width // parts
        table = at.shared(NAME, lambda site: Table(site, self, len(layers) * width))
        return Gated(at.child(NAME), inner, table, self, layers.index(at.layer), width, heads)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if param.path == TABLE:
            return ParamRule(label=NAME)
        if f".{NAME}." not in param.path:
            return None
        return ParamRule(weight_decay=0.0, init=uniform_of if param.path.endswith("gate.weight") else 1.0)

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        if group.label != NAME:
            return None
        self._rule = Rows(self, len(self.layers_of(group.model.depth)))
        return self._rule

    @hookimpl
    def make_decay(self, group: ParamGroup) -> DecayRule | None:
        return self._rule if group.label == NAME else None


def uniform_of(value: Tensor) -> Tensor:
    """Numbers of N(0, GATE^2) as those of U(0, 2 GATE) at the same quantile."""
    return GATE + GATE * torch.erf(value / (GATE * math.sqrt(2)))


def prime_up_to(n: int) -> int:
    """The largest prime that is at most n; at least 2."""
    while n > 2 and any(n % k == 0 for k in range(2, math.isqrt(n) + 1)):
        n -= 1
    return max(2, n)


def bucket(tokens: Tensor, order: int, salt: int, rows: int) -> Tensor:
    """r (B, T) int64 of tokens (B, T)."""
    found = tokens * (PRIMES[0] + salt * 2_654_435_761)
    for j in range(1, order):
        found = found + F.pad(tokens, (j, 0))[:, : tokens.shape[1]] * (PRIMES[j] + salt * 40_503)
    return found.remainder(rows)


class Table(nn.Module):
    """`ctx -> rows` (B, T, G, layers x D / G), looked up once a pass."""

    def __init__(self, at: Site, options: NgramValues, width: int):
        super().__init__()
        self.rows = prime_up_to(round(options.rows * at.shape.vocab))
        self.salted = [
            (order, 1 + 97 * o + 7919 * w) for o, order in enumerate(options.orders) for w in range(options.hashes)
        ]
        self.weight = at.weight("weight", (self.rows, width), "table", std=0.0)

    def forward(self, ctx: Context) -> Tensor:
        if NAME not in ctx.saved:
            found = torch.stack([bucket(ctx.tokens, order, salt, self.rows) for order, salt in self.salted], -1)
            ctx.saved[NAME] = F.embedding(found, self.weight)
        return ctx.saved[NAME]


class Gated(nn.Module):
    """Attention `inner` on values (B, T, Hk, D), one head of which has the tuples' vectors added."""

    def __init__(
        self, at: Site, inner: nn.Module, table: Table, options: NgramValues, number: int, width: int, heads: Heads
    ):
        super().__init__()
        self.inner, self.table, self.channels = inner, table, options.channels
        self.part, self.head = slice(number * width, (number + 1) * width), number % heads.keys
        self.gate = at.linear("gate", options.channels, 1, role="gate", std=GATE)
        self.bias = at.scale("bias", (), options.bias, role="gate")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        found = self.table(ctx)[..., self.part].flatten(-2)
        let_in = (self.gate(x[..., : self.channels]) / self.channels + self.bias).sigmoid()
        added = F.pad(let_in * found, (0, v.shape[-1] - found.shape[-1]))  # where G does not divide D
        values = list(v.unbind(-2))
        values[self.head] = (values[self.head] + added).to(v.dtype)
        y: Tensor = self.inner(q, k, torch.stack(values, -2), x, ctx)
        return y


class Rows:
    """Update and decay of the table, rows (H, layers x width)."""

    weight_decay = 0.0

    def __init__(self, options: NgramValues, layers: int):
        self.options, self.lr, self.layers = options, options.lr, layers
        self.moved: Tensor | None = None

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {"mean_square": p.new_zeros((*p.shape[:-1], self.layers))}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        by_layer, mean, beta = g.unflatten(-1, (self.layers, -1)), state["mean_square"], self.options.beta
        self.moved = g.ne(0).any(-1, keepdim=True)
        mean.copy_(torch.where(self.moved, beta * mean + (1 - beta) * by_layer.square().mean(-1), mean))
        f: Any = dials.get("lr", 1.0)  # what the rate is multiplied by outside
        return (by_layer / (mean.sqrt() + 1e-8).unsqueeze(-1)).flatten(-2) / (f + (f == 0))

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        assert self.moved is not None
        return self.options.decay * p * self.moved
