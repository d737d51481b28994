"""Predict further tokens one after the other, each with a small module of its own that sees the token before.

Module k = 1 .. `ahead` joins what module k - 1 knows at position t (k = 1: the final hidden state) with the embedding
of token t + k, passes one block, and predicts token t + k + 1 with the model's own embedding and head:

    h_k = block_k(M_k [rms(h_(k-1)); rms(E[token_(t+k)])])       logits rms(h_k) -> head

The training loss gets weight / ahead x the sum of the modules' mean cross-entropies, over positions whose token is in
the row. Modules are part of training alone: evaluation is the next token's loss, from the model without them.

Suggested settings: one module, weight 0.3, from 68% of the run on 0.1 (DeepSeek-V3: 0.3 for 10 of 14.8 T tokens).
When it hurts / conflicts: a block and a head more to train, counted in the FLOPs; models of laptop size may be too
small to use it. Parameters of the modules are counted with the model. Not with streams of several lanes, whose blocks
the modules cannot feed, nor with a loss that looks ahead with the one head there is (`mtp`).
Source: DeepSeek-AI 2024 (DeepSeek-V3), arXiv:2412.19437, section 2.2.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from coregpt.api import Clock, Context, Plugin, PluginError, Schedule, Site, Span, hookimpl

DIAL = "deepseek_mtp.weight"


class DeepseekMtp(Plugin):
    """Adds a loss, with modules of its own, and a dial."""

    neutral: ClassVar[dict[str, Any] | None] = {"weight": 0.0, "late": 0.0}
    conflicts: ClassVar[tuple[str, ...]] = ("hyper_connections", "mhc", "mtp")

    ahead: PositiveInt = 1
    """Modules, one for each token after the next."""
    weight: NonNegativeFloat = 0.3
    """Of the mean of their losses, at first."""
    late: NonNegativeFloat = 0.1
    """Of the same, at the end."""
    switch: Span = 0.68
    """When the weight becomes `late`: below 1 a share of the run, from 1 on a step."""

    @hookimpl
    def add_losses(self, at: Site) -> dict[str, nn.Module] | None:
        if not (self.weight or self.late):
            return None
        if self.ahead >= at.shape.context:
            raise PluginError(f"deepseek_mtp: {self.ahead} tokens ahead do not fit in a context of {at.shape.context}")
        return {"deepseek_mtp": Modules(at.child("deepseek_mtp"), self.ahead)}

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {DIAL: self.weight_at}

    def weight_at(self, clock: Clock) -> float:
        return self.weight if clock.step < clock.span(self.switch) else self.late


class Modules(nn.Module):
    """`(logits, targets, ctx) -> scalar`; does without the model's logits."""

    needs_logits = False

    def __init__(self, at: Site, ahead: int):
        super().__init__()
        self.steps = nn.ModuleList(Next(at.child(f"next_{k}")) for k in range(1, ahead + 1))

    def forward(self, logits: Tensor | None, targets: Tensor, ctx: Context) -> Tensor:
        assert ctx.hidden is not None
        h, total = ctx.hidden, torch.zeros((), device=targets.device)
        for k, step in enumerate(self.steps):
            # Past the row's end stands any token: no position whose loss counts can see it.
            h = step(h, ctx.embed(targets.roll(-k, 1)), ctx)
            later = ctx.head(step.out_norm(h))[:, : -(k + 1)]  # type: ignore[operator]
            total = total + F.cross_entropy(later.flatten(0, 1), targets[:, k + 1 :].flatten())
        loss: Tensor = ctx.dials[DIAL] * total / len(self.steps)
        return loss


class Next(nn.Module):
    """`(h, e, ctx) -> h'`, all (B, T, dim): one module."""

    def __init__(self, at: Site):
        super().__init__()
        dim = at.shape.dim
        self.hidden_norm, self.embed_norm = at.norm("hidden_norm", dim), at.norm("embed_norm", dim)
        self.join = at.linear("join", 2 * dim, dim)
        self.block = at.part("block")
        self.out_norm = at.norm("out_norm", dim)

    def forward(self, h: Tensor, e: Tensor, ctx: Context) -> Tensor:
        joined = self.join(torch.cat((self.hidden_norm(h), self.embed_norm(e)), -1))
        y: Tensor = self.block(joined, ctx)
        return y
