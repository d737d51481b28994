"""Take the training loss over a random part of the vocabulary instead of all of it.

With z the logits at a position, y its next token, and S a set that has each id with the probability `share`, drawn for
every row anew:

    loss = mean of -z_y + log( exp z_y + 1 / share  sum over v in S, v != y, of exp z_v )

What stands in the logarithm is right on average, so the loss is a little too small; at share 1 it is the plain loss.
Evaluation is over all of the vocabulary.

Suggested settings: share 1/8 to 1/2; what the speedrun's proposal has is not known here.
When it hurts / conflicts: ids that are not drawn learn nothing from a step. No time is saved here: all logits are made,
and kept whole; this is what it does to the numbers. Nothing else may own the training loss.
Source: Bengio & Senecal 2008; Jean et al. 2015, arXiv:1412.2007; modded-nanogpt, proposal 360.
"""

import math
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl


class SampledSoftmax(Plugin):
    """Claims the training loss."""

    neutral: ClassVar[dict[str, Any] | None] = {"share": 1.0}

    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Chance of an id to be in the sum."""

    @hookimpl
    def make_loss(self, at: Site) -> nn.Module | None:
        return Sampled(at, self.share) if self.share < 1 else None


class Sampled(nn.Module):
    """`(logits (B, T, V), targets (B, T), ctx) -> scalar`."""

    def __init__(self, at: Site, share: float):
        super().__init__()
        self.share, self.noise = share, at.random("sample")

    def forward(self, logits: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        drawn = ctx.random(self.noise, (len(logits), logits.shape[-1]))
        own = targets.unsqueeze(-1)
        right = logits.gather(-1, own)
        others = logits.scatter(-1, own, float("-inf"))
        if drawn is not None:
            left_out = (drawn >= self.share).unsqueeze(1)
            others = others.masked_fill(left_out, float("-inf")) - math.log(self.share)
        total = torch.cat((right, others), -1).logsumexp(-1)
        return (total - right.squeeze(-1)).mean()
