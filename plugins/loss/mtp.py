"""Multi-token prediction with the one head there is: each position also answers for tokens further ahead.

With z_t the logits at position t and y_t its next token, in a row of T tokens:

    loss = 1/T sum_t sum_{k=0}^{K-1} w_k CE(z_t, y_{t+k}),     w_0 = 1

Targets beyond the row's end count as zero; their weight goes to nobody. The first `share` of the run is cut in K
equal stages; in each, the last weight still standing falls linearly to zero and stays there, so that with the
defaults w is (1, .5, .25 -> 0), then (1, .5 -> 0), then (1). Evaluation is always the plain next-token loss, and
training logs it as `next_token_loss` beside the weighted `loss`.

Suggested settings: weights 0.5, 0.25 over the whole run, or over its first quarter for longer ones.
When it hurts / conflicts: the loss and its gradient are larger early, which moves gradient clipping and Adam's eps.
Targets may lie in the next document. Nothing else may own the training loss.
Source: modded-nanogpt record 53; Gloeckle et al. 2024 (with extra heads), arXiv:2404.19737.
"""

from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from coregpt.api import Clock, Context, Plugin, PluginError, Schedule, Site, hookimpl


class Mtp(Plugin):
    """Claims the training loss; one dial `mtp.k` for each token further ahead."""

    neutral: ClassVar[dict[str, Any] | None] = {"weights": ()}

    weights: tuple[NonNegativeFloat, ...] = (0.5, 0.25)
    """w_1, w_2, ...: initial weights of the tokens after the next one."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of the run over which the weights go away."""

    @hookimpl
    def make_loss(self, at: Site) -> nn.Module | None:
        if len(self.weights) >= at.shape.context:
            raise PluginError(f"mtp: {len(self.weights)} tokens ahead do not fit in a context of {at.shape.context}")
        return WeightedTokens(len(self.weights)) if self.weights else None

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {f"mtp.{k}": self.schedule(k) for k in range(1, len(self.weights) + 1)}

    def schedule(self, k: int) -> Schedule:
        """w_k: constant, then falling through the stage in which it is the last one standing, then zero."""
        stages = len(self.weights) + 1
        stage = stages - 1 - k

        def weight(clock: Clock) -> float:
            start, end = (round(self.share * clock.steps * i / stages) for i in (stage, stage + 1))
            left = (end - clock.step) / max(end - start, 1)
            return self.weights[k - 1] * min(1.0, max(0.0, left))

        return weight


class WeightedTokens(nn.Module):
    """`(logits, targets, ctx) -> scalar`, weights from the dials."""

    def __init__(self, ahead: int):
        super().__init__()
        self.ahead = ahead

    def forward(self, logits: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        scores = F.log_softmax(logits, dim=-1)
        loss = F.nll_loss(scores.flatten(0, 1), targets.flatten())
        ctx.metrics["next_token_loss"] = loss
        for k in range(1, self.ahead + 1):
            later = scores[:, :-k].gather(-1, targets[:, k:].unsqueeze(-1))
            loss = loss - ctx.dials[f"mtp.{k}"] * later.sum() / targets.numel()
        return loss
