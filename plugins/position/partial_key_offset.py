"""Give each key, in the dimensions that no rotation turns, what the token before it had there.

After `rope`, in dimensions [D/4, D/2) and [3 D/4, D) of every head

    k_t <- k_(t-1)     t >= 1; the first token keeps its own

With rope's `truncate` these are the dimensions without position; without it, those that turn slowest. A query that
looks for the token after a word like its own finds it in one layer.

Suggested settings: with `rope: {truncate: true}`; layers with long windows (the default: those of `window_stages`).
When it hurts / conflicts: a window shows part of one key more. Not in layers with paired heads. With document masks the
first token of a document keeps its own key, where the records look over the border (`across`).
Source: modded-nanogpt record 49, with the dimensions of record 62.
"""

from collections.abc import Generator
from typing import ClassVar

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl

NAME = "partial_key_offset"


class PartialKeyOffset(Plugin):
    """Wraps positions; no parameters."""

    after: ClassVar[tuple[str, ...]] = ("paired_head_attention",)

    layers: tuple[NonNegativeInt, ...] | None = None
    """Layers where keys are moved. Empty: 3 L // 11 and the last."""
    across: bool = False
    """Move keys over the border of documents too, as the records do."""

    @hookimpl(wrapper=True)
    def make_position(self, at: Site, dim: int) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        depth = at.shape.depth
        layers = (3 * depth // 11, depth - 1) if self.layers is None else self.layers
        if wrong := [layer for layer in layers if layer >= depth]:
            raise PluginError(f"{NAME}: layer {wrong[0]} of a model with {depth} layers")
        if at.layer not in layers:
            return inner
        if at.has_shared(f"paired_head_attention.{at.layer}"):
            raise PluginError(f"'{NAME}' and 'paired_head_attention' are both in layer {at.layer}; choose other layers")
        return Offset(at, inner, dim, self.across)


class Offset(nn.Module):
    """The position `inner`, then keys (B, S, Hk, D) moved by one token in half of D."""

    still: Tensor

    def __init__(self, at: Site, inner: nn.Module, dim: int, across: bool):
        super().__init__()
        self.inner, self.across = inner, across
        place = torch.arange(dim, device=at.device) % max(dim // 2, 1)
        self.register_buffer("still", place >= dim // 4, persistent=False)

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        q, k = self.inner(q, k, ctx)
        moved = self.still
        if ctx.documents is not None and not self.across:
            same = ctx.documents[:, 1:] == ctx.documents[:, :-1]
            moved = moved & torch.cat((same[:, :1], same), 1)[..., None, None]
        return q, torch.where(moved, torch.cat((k[:, :1], k[:, :-1]), 1), k)
