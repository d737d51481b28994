"""Take the training loss of logits that are rounded to bf16, and give them gradients that are.

    z <- bf16(z)        forward; on the way back the gradient of z is rounded to bf16

Sums over the vocabulary and over tokens stay in fp32, where the source's kernel has them too. Evaluation is in fp32.

Suggested settings: none to set; meant for a GPU, where half of the bytes of the largest tensor of a step matter.
When it hurts / conflicts: no time is saved here, this is what it does to the numbers; logits are kept whole, where core
would otherwise make them in parts if they are too many. A logit of 20 is off by up to 0.06.
Source: modded-nanogpt record 37.
"""

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn

from coregpt.api import Context, Plugin, hookimpl


class Bf16Loss(Plugin):
    """Wraps the training loss."""

    @hookimpl(wrapper=True)
    def make_loss(self) -> Generator[None, Any, nn.Module]:
        return Rounded((yield))


class Rounded(nn.Module):
    """`inner` of rounded logits; of none, where `inner` does without."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner
        self.needs_logits = getattr(inner, "needs_logits", True)

    def forward(self, logits: Tensor | None, targets: Tensor, ctx: Context) -> Tensor:
        rounded = None if logits is None else logits.to(torch.bfloat16).to(logits.dtype)
        loss: Tensor = self.inner(rounded, targets, ctx)
        return loss
