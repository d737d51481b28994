"""Smooth the labels: train towards a little of every token.

Suggested settings: 0.1 in translation; language models mostly do without.
When it hurts / conflicts: nothing known. The evaluation is the plain loss, whatever is trained.
Source: Szegedy et al. 2016, arXiv:1512.00567; replace this card by yours.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from torch import Tensor, nn

from coregpt.api import Context, Plugin, Share, Site, hookimpl


class Smoothed(nn.Module):
    """(1 - share) loss + share mean over the vocabulary of -log p."""

    def __init__(self, inner: nn.Module, share: float):
        super().__init__()
        self.inner, self.share = inner, share

    def forward(self, logits: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        uniform = -logits.float().log_softmax(-1).mean()
        return (1 - self.share) * self.inner(logits, targets, ctx) + self.share * uniform


class Draft(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"share": 0.0}

    share: Share = 0.1
    """How much of the label is spread over all tokens."""

    @hookimpl(wrapper=True)
    def make_loss(self, at: Site) -> Generator[None, Any, nn.Module]:
        inner = yield
        return Smoothed(inner, self.share) if self.share else inner
