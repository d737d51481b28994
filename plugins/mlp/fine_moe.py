"""Many small experts, some of which every token uses, chosen by scores that need not add up to one.

Of E routed experts each token uses K, and `shared` more always, all of them MLPs of width w:

    s_i = sigmoid(W x)_i, or softmax(W x)_i           S = the K largest of s + b
    y = sum over shared of E_j(x) + sum over i in S of (s_i / sum over S of s) E_i(x)
    b <- b + rate sign(mean load - load)              once per step; no gradient
    loss + balance x mean over rows of  sum_i f_i P_i

with f_i the share of the row's choices that fell on i, times E, and P_i the row's mean of s_i / sum s. Without `width`
shared and chosen experts together are as wide as the MLP: FLOPs stay and parameters grow.

Suggested settings: shared 1, rate 1e-3 and balance 1e-4 with sigmoid (DeepSeek-V3); softmax with rate 0 and balance
1e-2 is the older way.
When it hurts / conflicts: the shared experts are one MLP of their widths together, which is the same. Another
technique that claims the MLP. A router that balances well by b needs hardly any loss.
Source: Dai et al. 2024 (DeepSeekMoE), arXiv:2401.06066; DeepSeek-AI 2024 (V3), arXiv:2412.19437, 2.1.2; Fedus et al.
2021 (Switch), arXiv:2101.03961.
"""

import math
from typing import Literal, Self

import torch
from coregpt_plugins._shared.experts import Balance, expert_matmul
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from coregpt.api import Companion, Context, Plugin, RunView, Site, hookimpl


class FineMoe(Plugin):
    """Replaces MLPs."""

    experts: int = Field(default=16, ge=2)
    """E: routed experts of a layer."""
    active: PositiveInt = 3
    """K: routed experts that a token uses."""
    shared: NonNegativeInt = 1
    """Experts that every token uses besides."""
    width: PositiveInt | None = None
    """Hidden width of an expert. Empty: the MLP's over `active` + `shared`."""
    scores: Literal["sigmoid", "softmax"] = "sigmoid"
    """What the router makes of its logits."""
    rate: NonNegativeFloat = 1e-3
    """Step of b; 0 leaves it at zero."""
    balance: NonNegativeFloat = 1e-4
    """Weight of the balance loss."""
    layers: Literal["alternate", "all"] = "all"
    """`alternate` keeps the MLP in layers 0, 2, 4, ..."""

    @model_validator(mode="after")
    def _active_fits(self) -> Self:
        if self.active > self.experts:
            raise ValueError(f"active ({self.active}) may not exceed experts ({self.experts})")
        return self

    @hookimpl
    def make_mlp(self, at: Site) -> nn.Module | None:
        dense = self.layers == "alternate" and at.layer is not None and at.layer % 2 == 0
        return None if dense else FineExperts(at, self)

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        parts = [] if run.model is None else [part for part in run.model.modules() if isinstance(part, FineExperts)]
        return Balance(parts, run, self.rate) if self.rate else None


class Stack(nn.Module):
    """`count` MLPs of one activation, without a norm: weights (count, width, dim) and (count, dim, width)."""

    def __init__(self, at: Site, count: int, width: int):
        super().__init__()
        dim, std = at.shape.dim, at.shape.init_std
        self.activation = at.activation(width)
        width = int(self.activation.width)  # type: ignore[arg-type]
        self.up = at.child("up").weight("weight", (count, width, dim), std=std)
        gated = self.activation.inputs == 2
        self.gate = at.child("gate").weight("weight", (count, width, dim), std=std) if gated else None
        small = std / math.sqrt(2 * at.shape.depth)
        self.down = at.child("down", writes=True).weight("weight", (count, dim, width), std=small)

    def forward(self, rows: Tensor, ends: Tensor) -> Tensor:
        """Rows sorted by expert, of which those before `ends[e]` are e's or an earlier one's."""
        up = expert_matmul(rows, self.up, ends)
        hidden = self.activation(up) if self.gate is None else self.activation(up, expert_matmul(rows, self.gate, ends))
        return expert_matmul(hidden, self.down, ends)


class FineExperts(nn.Module):
    """`(x, ctx) -> y`."""

    bias: Tensor
    load: Tensor

    def __init__(self, at: Site, options: FineMoe):
        super().__init__()
        self.path, self.options, count = at.path, options, options.experts
        whole = at.shape.hidden or 4 * at.shape.dim
        width = options.width or max(1, whole // (options.active + options.shared))
        self.router = at.linear("router", at.shape.dim, count, role="gate")
        self.routed = Stack(at.child("routed"), count, width)
        self.common = Stack(at.child("shared"), 1, width * options.shared) if options.shared else None
        self.register_buffer("bias", torch.zeros(count, device=at.device))
        self.register_buffer("load", torch.zeros(count, device=at.device), persistent=False)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        """(B, T, dim) to (B, T, dim)."""
        logits = self.router(x).to(torch.promote_types(x.dtype, torch.float32))
        scores = logits.sigmoid() if self.options.scores == "sigmoid" else logits.softmax(-1)
        chosen = (scores.detach() + self.bias).topk(self.options.active, -1).indices  # (B, T, K)
        picked = scores.gather(-1, chosen)
        weights = picked / picked.sum(-1, keepdim=True).clamp(min=1e-20)
        taken = torch.zeros_like(scores).scatter(-1, chosen, 1.0)
        if self.training:
            self.load.add_(taken.detach().sum((0, 1)).to(self.load.dtype))
            if self.options.balance:
                ctx.losses[self.path] = self.options.balance * self.unbalance(scores, taken)
        tokens = x.flatten(0, -2)
        y = self.sparse(tokens, chosen.flatten(0, 1), weights.flatten(0, 1).to(x.dtype))
        if self.common is not None:
            y = y + self.common(tokens, torch.full((1,), len(tokens), dtype=torch.int32, device=x.device))
        return y.view_as(x)

    def unbalance(self, scores: Tensor, taken: Tensor) -> Tensor:
        """Mean over rows of sum_i f_i P_i; 1 where every expert gets the same."""
        share = taken.mean(1) * (self.options.experts / self.options.active)
        return (share * (scores / scores.sum(-1, keepdim=True)).mean(1)).sum(-1).mean()

    def sparse(self, tokens: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """The `chosen` (N, K) experts of each token, mixed by `weights` (N, K)."""
        order = chosen.flatten().argsort(stable=True)
        numbers = torch.arange(self.options.experts, device=tokens.device)
        ends = torch.searchsorted(chosen.flatten()[order], numbers, right=True).to(torch.int32)
        out: Tensor = self.routed(tokens[order // chosen.shape[1]], ends)
        return (out[order.argsort()].view(*chosen.shape, -1) * weights.unsqueeze(-1)).sum(1)
