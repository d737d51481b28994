"""Let some layers attend without knowing where tokens stand.

In these layers every token stands at position 0, so that a rotation turns nothing and queries and keys meet as they
are, normalised if they were. Order is then known from the causal mask alone, which is enough in some layers, or all.

Suggested settings: every fourth layer (the default); layers without windows, beside layers with windows and `rope`;
`every: 1` is a model without positions.
When it hurts / conflicts: nothing is known of distances in these layers. It takes positions away that `rope` gives, and
`rope` is needed: a learned table is added to the stream, which no layer can be kept from reading; ALiBi changes scores.
Not with `form: nvidia`, which is no rotation, nor in layers with paired heads, whose positions tell them apart.
Source: Kazemnejad et al. 2023, arXiv:2305.19466 (no layer has positions); Yang et al. 2025, arXiv:2501.18795 (some).
"""

from collections.abc import Generator
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl


class Nope(Plugin):
    """Wraps positions; no parameters."""

    requires: ClassVar[tuple[str, ...]] = ("rope",)
    conflicts: ClassVar[tuple[str, ...]] = ("alibi",)
    after: ClassVar[tuple[str, ...]] = ("paired_head_attention",)

    every: PositiveInt = 4
    """Each so many layers one is without positions, the last of them."""
    layers: tuple[NonNegativeInt, ...] | None = None
    """Layers without positions, in place of `every`."""

    @hookimpl(wrapper=True)
    def make_position(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        depth, layer = at.shape.depth, at.layer
        if wrong := [number for number in self.layers or () if number >= depth]:
            raise PluginError(f"nope: layer {wrong[0]} of a model with {depth} layers")
        if layer is None:
            return inner
        chosen = (layer + 1) % self.every == 0 if self.layers is None else layer in self.layers
        if chosen and at.has_shared(f"paired_head_attention.{layer}"):
            raise PluginError(f"'nope' and 'paired_head_attention' are both in layer {layer}; choose other layers")
        return Nowhere(inner) if chosen else inner


class Nowhere(nn.Module):
    """The position `inner`, for tokens (B, T) that all stand at 0."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        at = torch.zeros(1, q.shape[1], dtype=torch.long, device=q.device)
        still: tuple[Tensor, Tensor] = self.inner(q, k, replace(ctx, positions=at))
        return still
