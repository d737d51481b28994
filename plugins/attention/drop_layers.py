"""Leave out the attention of some layers, and the MLP of others.

A layer without attention is x <- x + mlp(x); one without MLP is x <- x + attention(x). What is left out has no weights
and costs nothing; connections that scale the stream or mix lanes stay.

Suggested settings: no attention in layer 7 of 12 (the default's place), 6 of 11; no MLP in layer 0 (records 30 to 34),
no attention in layer 0 (record 35).
When it hurts / conflicts: fewer weights: compare at equal tokens and at equal FLOPs. Whatever else makes attention (or
MLP) clashes.
Source: modded-nanogpt records 17, 30 and 35.
"""

from typing import Any, ClassVar

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl


class DropLayers(Plugin):
    """Claims attention and MLP where they are left out."""

    neutral: ClassVar[dict[str, Any] | None] = {"attention": (), "mlp": ()}

    attention: tuple[NonNegativeInt, ...] | None = None
    """Layers without attention. Empty: one, 7 L // 12."""
    mlp: tuple[NonNegativeInt, ...] = ()
    """Layers without MLP."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module | None:
        depth = at.shape.depth
        return self.nothing(at, (7 * depth // 12,) if self.attention is None else self.attention)

    @hookimpl
    def make_mlp(self, at: Site) -> nn.Module | None:
        return self.nothing(at, self.mlp)

    def nothing(self, at: Site, layers: tuple[int, ...]) -> nn.Module | None:
        if wrong := [layer for layer in layers if layer >= at.shape.depth]:
            raise PluginError(f"drop_layers: layer {wrong[0]} of a model with {at.shape.depth} layers")
        return Nothing() if at.layer in layers else None


class Nothing(nn.Module):
    """A branch that writes zeros."""

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return torch.zeros_like(x)
