"""Let only some tokens of a row pass each routed block; the others go around it.

Every `every`-th block is routed. It scores each token, r_t = w . x_t, and f(X) is what the block adds to the tokens X
that pass it, attention among those alone included:

    x_t <- x_t + r_t f(X)_t   if t passes,     x_t otherwise

With k = ceil(capacity T), `threshold` decides for each token by itself: t passes if r_t > 0, as long as fewer than k
before it did. `top_k` lets the k highest scores of a row pass in training, as published, and uses the threshold in
evaluation. Either way training adds predict x BCE(sigmoid(r_t), t is among the k highest), the mean over tokens, for
each routed block: it pulls the threshold to where k tokens pass.

Suggested settings: capacity 0.125, every second block; larger models or longer training at the FLOPs that this saves.
When it hurts / conflicts: `top_k` is not causal: whether a token passes depends on later ones, so the law that no logit
sees the future fails in training, and training and evaluation differ. With `threshold` the first tokens of a row take
the places until the scores have learned, also from later documents of the row. Parts that hand tensors of whole rows
from block to block do not fit, nor does a stream of another width.
Source: Raposo et al. 2024, arXiv:2404.02258 (top-k, and the auxiliary loss of its section on sampling).
"""

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl

Route = Literal["threshold", "top_k"]


class MixtureOfDepths(Plugin):
    conflicts: ClassVar[tuple[str, ...]] = ("hyper_connections", "unet_skips")

    capacity: Annotated[float, Field(gt=0, le=1)] = 0.125
    """k as a share of the row."""
    every: PositiveInt = 2
    """Each so many blocks one is routed, the last of them."""
    route: Route = "threshold"
    """Which tokens pass in training: `threshold` is causal, `top_k` is not."""
    predict: NonNegativeFloat = 0.01
    """Weight of the auxiliary loss."""

    @hookimpl
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> nn.Module:
        depth = at.shape.depth
        if self.every > depth:
            raise PluginError(f"mixture_of_depths: every {self.every} blocks one is routed, the model has {depth}")
        return Stack([self.routed(at, block(layer), layer) for layer in range(depth)])

    def routed(self, at: Site, block: nn.Module, layer: int) -> nn.Module:
        return Routed(at.child(f"routed.{layer}"), block, self) if (layer + 1) % self.every == 0 else block


class Stack(nn.Module):
    """`(x, ctx) -> x` through all layers in turn."""

    def __init__(self, blocks: list[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        for block in self.blocks:
            x = block(x, ctx)
        return x


class Routed(nn.Module):
    """A block that k tokens of each row may pass; shapes do not depend on which do."""

    def __init__(self, at: Site, block: nn.Module, options: MixtureOfDepths):
        super().__init__()
        self.block, self.options, self.key = block, options, f"{at.path}.predict"
        self.router = at.linear("router", at.shape.dim, 1, role="gate")

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        scores = self.router(x).squeeze(-1).float()  # (B, T)
        k = math.ceil(self.options.capacity * x.shape[1])
        if ctx.training and self.options.route == "top_k":
            index = scores.topk(k).indices.sort().values
            passes = torch.ones_like(index, dtype=torch.bool)
        else:
            index, passes = first_above(scores, k)
        if ctx.training and self.options.predict:
            ctx.losses[self.key] = self.options.predict * among_highest(scores, k)
        wide = index.unsqueeze(-1).expand(-1, -1, x.shape[-1])
        chosen = x.gather(1, wide)  # (B, k, dim)
        added = self.block(chosen, ctx.select(index)) - chosen
        weight = (scores.gather(1, index) * passes).unsqueeze(-1).to(x.dtype)
        y: Tensor = x.scatter_add(1, wide, (weight * added).to(x.dtype))
        return y


def first_above(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(B, k) int64 places of the first k scores (B, T) above zero, rising, and (B, k) bool which of them there are.

    Places that are left over repeat the last token, after all others: none that passes sees them.
    """
    length = scores.shape[1]
    at = torch.arange(length, device=scores.device).expand_as(scores)
    found = at.masked_fill(scores <= 0, length).sort().values[:, :k]
    return found.clamp(max=length - 1), found < length


def among_highest(scores: Tensor, k: int) -> Tensor:
    """Mean binary cross-entropy of sigmoid(scores) (B, T) against being one of the k highest of a row."""
    highest = scores.detach().topk(k).indices
    return F.binary_cross_entropy_with_logits(scores, torch.zeros_like(scores).scatter(1, highest, 1.0))
