"""Let each pair of tokens mix what the heads think of it, before and after softmax.

With a (H) the scores of all heads for query t and key s, and again with their probabilities:

    a <- M a + sum_r out^q_tr (in^q_tr . a) + d^q_t * a + sum_r out^k_sr (in^k_sr . a) + d^k_s * a

M (H, H) is learned, the identity at first. in, out (H) for `rank` r come from a small network on attention's input
at the token, in normalised over heads: in = rms(gelu(x W_1) W_2), out = gelu(x W_1) W_3; d = tanh(x W_4). W_3 and W_4
start at zero: training starts as without it. Queries and keys, before and after, have networks of their own. What is
hidden from a head stays hidden from it. M does not decay.

Suggested settings: the defaults.
When it hurts / conflicts: keeps scores of all heads and pairs, and touches each about a dozen times: many times slower
than plain attention. `dc_lite` is its cheap form. Written from the paper's formulas as we know them, not compared with
its code. Routed blocks see some tokens only. Bounds on q and k, as `qk_clip` sets them, bound no composed score.
Source: Xiao et al. 2024 (DCMHA), arXiv:2405.08553.
"""

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from coregpt.api import Attend, Context, Heads, ParamInfo, ParamRule, Plugin, PluginError, RMSNorm, Site, hookimpl

NAME = "dcmha"


class Dcmha(Plugin):
    """Claims softmax attention of chosen layers."""

    conflicts: ClassVar[tuple[str, ...]] = ("dc_lite", "mixture_of_depths", "qk_clip")

    layers: tuple[NonNegativeInt, ...] | None = None
    """Layers where it happens. Empty: all."""
    rank: PositiveInt = 2
    """Terms of each sum."""
    width: PositiveInt = 32
    """Of the small networks."""

    @hookimpl
    def make_attend(self, at: Site, heads: Heads) -> nn.Module | None:
        if wrong := [layer for layer in self.layers or () if layer >= at.shape.depth]:
            raise PluginError(f"{NAME}: layer {wrong[0]} of a model with {at.shape.depth} layers")
        return ComposedAttend(at, heads, self) if self.layers is None or at.layer in self.layers else None

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if f".{NAME}." not in param.path or not param.path.endswith(".mixed"):
            return None
        return ParamRule(weight_decay=0.0, init=lambda value: torch.eye(len(value), device=value.device))


class ComposedAttend(Attend):
    """Core's attention with every score and probability in reach."""

    def __init__(self, at: Site, heads: Heads, options: Dcmha):
        super().__init__(at, heads)
        self.group, self.hidden_by = heads.group, at.masks()
        own = at.child(NAME)
        self.before, self.after = (Composition(own.child(name), heads.query, options) for name in ("before", "after"))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        k, v = (part.repeat_interleave(self.group, 2) if self.group > 1 else part for part in (k, v))
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        scores = (q @ k.mT).float() * q.shape[-1] ** -0.5
        b, h, at, to = places(scores)
        for rule in self.scores:
            scores = rule(scores, b, h, at, to, ctx)
        seen = at >= to
        for rule in self.hidden_by:  # type: ignore[attr-defined]
            seen = seen & rule(b, h, at, to, ctx)
        scores = self.before(scores, x).masked_fill(~seen, float("-inf"))
        if "lse" in self.watched:
            ctx.saved[self.watched["lse"]] = scores.logsumexp(-1).transpose(1, 2)
        if "top" in self.watched:
            key, top = self.watched["top"], scores.detach().amax((0, 2, 3))
            ctx.saved[key] = top.maximum(ctx.saved[key]) if key in ctx.saved else top
        probs = self.after(scores.softmax(-1), x) * seen
        return (probs.to(v.dtype) @ v).transpose(1, 2)


def places(scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row, head, query and key of each score (B, H, T, S), in shapes that broadcast."""
    shapes = (-1, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1)
    sizes = zip(scores.shape, shapes, strict=True)
    b, h, at, to = (torch.arange(size, device=scores.device).view(shape) for size, shape in sizes)
    return b, h, at, to


class Composition(nn.Module):
    """Maps (B, H, T, T) mixed over heads, by tokens x (B, T, dim)."""

    def __init__(self, at: Site, heads: int, options: Dcmha):
        super().__init__()
        self.mixed = at.weight("mixed", (heads, heads), "gate", 0.0)
        self.by_query, self.by_key = (Side(at.child(name), heads, options) for name in ("query", "key"))

    def forward(self, maps: Tensor, x: Tensor) -> Tensor:
        """The key's side is the query's on the transposed map."""
        mixed = (self.mixed @ maps.flatten(2)).unflatten(2, maps.shape[2:])
        found: Tensor = mixed + self.by_query(maps, x) + self.by_key(maps.mT, x).mT
        return found


class Side(nn.Module):
    """What the tokens along the first axis of maps (B, H, T, S) add to them."""

    def __init__(self, at: Site, heads: int, options: Dcmha):
        super().__init__()
        dim, self.shape = at.shape.dim, (options.rank, heads)
        self.first = at.linear("first", dim, options.width, role="gate", std=1 / math.sqrt(3 * dim))
        self.heard = at.linear("heard", options.width, options.rank * heads, role="gate", std=options.width**-0.5)
        self.said = at.linear("said", options.width, options.rank * heads, role="gate", std=0.0)
        self.scaled = at.linear("scaled", dim, heads, role="gate", std=0.0)
        self.norm = RMSNorm(heads)

    def forward(self, maps: Tensor, x: Tensor) -> Tensor:
        hidden = F.gelu(self.first(x))
        heard = self.norm(self.heard(hidden).float().unflatten(-1, self.shape))  # (B, T, R, H)
        said = self.said(hidden).float().unflatten(-1, self.shape)
        rows = maps.transpose(1, 2)  # (B, T, H, S)
        added = said.mT @ (heard.to(rows.dtype) @ rows) + self.scaled(x).float().tanh().unsqueeze(-1) * rows
        out: Any = added.transpose(1, 2)
        return out
