"""Let two heads see each other's keys: as one head on a sequence of twice the length.

Heads 2 m and 2 m + 1 become one: index 2 t of its sequence holds q, k and v of the first at token t, index 2 t + 1
those of the second. Causality is that of indices: the first head sees its own keys up to t and the second's before t,
the second sees both up to t. `rope` turns by the index, 2 t or 2 t + 1, at its usual speeds. A sliding window counts
indices, so it shows half as many tokens; documents and rules about scores know tokens.

Suggested settings: some layers with short windows: 0, 2, 5 and 9 of 11 in the record. The default is every other layer.
When it hurts / conflicts: scores cost twice as much. An even number of heads, each with keys of its own, is needed. Not
in layers with `partial_key_offset` or `xsa`. Routed blocks see some tokens only.
Source: modded-nanogpt record 58.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from coregpt_plugins._shared.rotary import turning
from pydantic import NonNegativeInt
from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, PluginError, Site, SlidingWindow, attend, build_mask, hookimpl

NAME = "paired_head_attention"


class PairedHeadAttention(Plugin):
    """Claims attention of chosen layers, and sets the phases of its rotation; no parameters."""

    conflicts: ClassVar[tuple[str, ...]] = ("gqa", "mixture_of_depths")

    layers: tuple[NonNegativeInt, ...] | None = None
    """Layers with paired heads. Empty: every other one, the first among them."""

    def here(self, at: Site) -> bool:
        if wrong := [layer for layer in self.layers or () if layer >= at.shape.depth]:
            raise PluginError(f"{NAME}: layer {wrong[0]} of a model with {at.shape.depth} layers")
        return at.layer is not None and (at.layer % 2 == 0 if self.layers is None else at.layer in self.layers)

    @hookimpl(wrapper=True)
    def make_position(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        if not self.here(at):
            return inner
        at.shared(f"{NAME}.{at.layer}", lambda site: self.here)  # so that others know
        position, rotation = turning(inner, NAME)
        if rotation is not None:
            rotation.apart = 2
        return position

    @hookimpl
    def make_attend(self, at: Site, heads: Heads) -> nn.Module | None:
        if not self.here(at):
            return None
        if heads.query % 2 or heads.group > 1:
            raise PluginError(f"{NAME}: needs an even number of heads with keys of their own, got {heads}")
        return PairedAttend(at, heads)


class PairedAttend(nn.Module):
    """`(q, k, v, x, ctx) -> y`, all (B, T, H, D)."""

    def __init__(self, at: Site, heads: Heads):
        super().__init__()
        rules: Any = at.masks()
        self.masks = tuple(PairedMask(rule) for rule in rules)
        self.scores = nn.ModuleList(PairedScore(rule) for rule in at.score_rules(heads))
        self.pairs, self.watched = heads.query // 2, at.watched()

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        lse, top = self.watched.get("lse"), self.watched.get("top")
        mask, scores = self.mask(ctx, q), list(self.scores)
        q, k, v = (part.unflatten(2, (-1, 2)).transpose(2, 3).flatten(1, 2) for part in (q, k, v))
        found = attend(q, k, v, mask, scores=scores, ctx=ctx, lse=lse is not None, top=top is not None)
        if lse is not None:
            ctx.saved[lse] = self.apart(found.lse)
        if top is not None:  # queries of one meet keys of the other: a pair has one largest score
            tops = found.top.repeat_interleave(2)
            ctx.saved[top] = tops.maximum(ctx.saved[top]) if top in ctx.saved else tops
        return self.apart(found.y)

    def mask(self, ctx: Context, q: Tensor) -> Any:
        """That of the long sequence, made once a pass."""
        key = (NAME, self.masks)
        if key not in ctx.masks:
            places = torch.arange(2 * q.shape[1], device=q.device)
            ctx.masks[key] = build_mask(self.masks, ctx, places, self.pairs)
        return ctx.masks[key]

    @staticmethod
    def apart(y: Tensor) -> Tensor:
        """(B, 2 T, H/2, ...) to (B, T, H, ...)."""
        return y.unflatten(1, (-1, 2)).transpose(2, 3).flatten(2, 3)


@dataclass(frozen=True)
class PairedMask:
    """A mask rule about tokens, or a window of indices, for indices of the long sequence."""

    rule: Any

    def __call__(self, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        if isinstance(self.rule, SlidingWindow):
            allowed: Tensor = self.rule(b, 2 * h, q, k, ctx)
        else:
            allowed = self.rule(b, 2 * h + q % 2, q // 2, k // 2, ctx)
        return allowed


class PairedScore(nn.Module):
    """A score rule about tokens and heads, for indices of the long sequence."""

    def __init__(self, rule: Any):
        super().__init__()
        self.rule = rule

    def forward(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        changed: Tensor = self.rule(score, b, 2 * h + q % 2, q // 2, k // 2, ctx)
        return changed
