"""Learn from the whole distribution of a finished model, not from the one next token alone.

loss = (1 - share) CE + share T^2 KL(teacher || student), both softened by the temperature T; the mean over positions.
T^2 keeps the size of the gradient of the second part when T changes. The teacher is the input `teacher`; it has the
student's tokens and vocabulary, and at least its context. Its forward pass is counted in the run's FLOPs.

Suggested settings: share 0.5, T 1 to 4. `inputs: {teacher: {run: ID}}` in the arm.
When it hurts / conflicts: a teacher weaker than the student; per FLOP, since every token is also the teacher's work.
Source: Hinton et al. 2015, arXiv:1503.02531.
"""

from collections.abc import Generator
from typing import Any, ClassVar

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import Context, Input, Plugin, PluginError, Share, Site, hookimpl


class Distilled(nn.Module):
    """(1 - share) x the loss without a teacher + share T^2 KL(teacher || student)."""

    def __init__(self, inner: nn.Module, teacher: Input, share: float, temperature: float):
        super().__init__()
        self.inner, self.teacher, self.share, self.temperature = inner, teacher, share, temperature

    def forward(self, logits: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        hard: Tensor = self.inner(logits, targets, ctx)
        theirs = (self.teacher.logits(ctx.tokens) / self.temperature).log_softmax(-1).flatten(0, 1)
        ours = (logits / self.temperature).log_softmax(-1).flatten(0, 1)
        soft = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        ctx.metrics["distilled"] = soft
        return (1 - self.share) * hard + self.share * self.temperature**2 * soft


class Distillation(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"share": 0.0}
    share: Share = 0.5
    """How much of the loss is the teacher's."""
    temperature: PositiveFloat = 2.0
    """Logits of both are divided by it."""

    @hookimpl(wrapper=True)
    def make_loss(self, at: Site) -> Generator[None, Any, nn.Module]:
        teacher = at.input("teacher")
        if teacher.config is not None:
            _refuse_other_tokens(teacher.config.model, at.shape)
        return Distilled((yield), teacher, self.share, self.temperature)


def _refuse_other_tokens(theirs: Any, ours: Any) -> None:
    if theirs.vocab != ours.vocab:
        raise PluginError(f"distillation: the teacher's vocabulary is {theirs.vocab}, the student's {ours.vocab}")
    if theirs.context < ours.context:
        raise PluginError(f"distillation: the teacher's context is {theirs.context}, the student's {ours.context}")
