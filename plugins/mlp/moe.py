"""Mixture of experts: many MLPs per layer, of which each token uses a few.

Expert 0 is shared and always on; a linear router picks K - 1 of the E - 1 others for each token:

    p = softmax(W_g x)                          (training may multiply logits by u ~ U(1 - noise, 1 + noise))
    S = the K - 1 largest of p + b              b: balance bias, no gradient, never part of the weights
    y = 1/K E_0(x) + (K - 1)/K sum_{i in S} p_i / (sum_{j in S} p_j) E_i(x)
    b <- b + rate * sign(mean load - load)      once per optimizer step

`hard` computes the chosen experts only, in one graph of static shapes: tokens are sorted by expert and each
expert multiplies its own run of rows. `soft_dense` computes every expert and multiplies by the same, mostly
zero, weights: equal values, E / K times the work. `soft_mixture` picks nobody: every routed expert counts
with (K - 1)/K p_i. Experts are full MLPs with whatever activation the run has (`relu2`, `swiglu` compose).

NanoPoor, a public code of the same router, differs: its `down` starts at init_std (`down_init: plain`), its bias moves
towards loaded experts and is part of the weights, and its load is the sum of gate weights, not a count.

Suggested settings: experts 32, active 4, alternate layers, rate 1e-3; experts 8 on a laptop.
When it hurts / conflicts: K full-width experts cost K times the dense MLP in FLOPs, so compare at equal FLOPs
too. The source trains with `noise` 0.01. `hard` in fp32 on CUDA (evaluation) waits for the device once per matrix
product.
Source: DeepSeekMoE (Dai et al. 2024, arXiv:2401.06066); loss-free balancing (Wang et al. 2024, arXiv:2408.15664).
"""

import math
from typing import Literal, Self

import torch
import torch.nn.functional as F
from coregpt_plugins._shared.experts import Balance, expert_matmul
from pydantic import Field, NonNegativeFloat, model_validator
from torch import Tensor, nn

from coregpt.api import Companion, Context, Plugin, RunView, Site, hookimpl


class MoE(Plugin):
    """Replaces the MLP of some layers."""

    experts: int = Field(default=8, ge=2)
    """E: experts per layer, the shared one included."""
    active: int = Field(default=2, ge=2)
    """K: experts per token, the shared one included."""
    routing: Literal["hard", "soft_dense", "soft_mixture"] = "hard"
    """Compute the chosen experts; compute all and keep the chosen; or mix all."""
    layers: Literal["alternate", "all"] = "alternate"
    """`alternate` keeps the dense MLP in layers 0, 2, 4, ..."""
    rate: NonNegativeFloat = 1e-3
    """Step of the balance bias; 0 leaves loads alone."""
    down_init: Literal["small", "plain"] = "small"
    """Experts' `down` starts at init_std / sqrt(2 depth), as the dense MLP's does, or at init_std (NanoPoor)."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """Half-width of the factor on router logits during training."""

    @model_validator(mode="after")
    def _active_fits(self) -> Self:
        if self.active > self.experts:
            raise ValueError(f"active ({self.active}) may not exceed experts ({self.experts})")
        return self

    @hookimpl
    def make_mlp(self, at: Site) -> nn.Module | None:
        dense = self.layers == "alternate" and at.layer is not None and at.layer % 2 == 0
        return None if dense else Experts(at, self)

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        parts = [] if run.model is None else [part for part in run.model.modules() if isinstance(part, Experts)]
        return Balance(parts, run, self.rate) if self.routing != "soft_mixture" else None


class Experts(nn.Module):
    """E stacked MLPs, a router, and the buffers that balance it (`bias` is saved, `load` is zero between steps)."""

    bias: Tensor
    load: Tensor

    def __init__(self, at: Site, options: MoE):
        super().__init__()
        self.path, self.options = at.path, options
        dim, count, std = at.shape.dim, options.experts, at.shape.init_std
        self.activation = at.activation(at.shape.hidden or 4 * dim)
        width = int(self.activation.width)  # type: ignore[arg-type]
        into = (count, width, dim)
        self.up = at.child("up").weight("weight", into, std=std)
        self.gate = at.child("gate").weight("weight", into, std=std) if self.activation.inputs == 2 else None
        down = std / math.sqrt(2 * at.shape.depth) if options.down_init == "small" else std
        self.down = at.child("down", writes=True).weight("weight", (count, dim, width), std=down)
        self.noise = at.random("noise") if options.noise else None
        self.router = at.linear("router", dim, count - 1, role="gate")
        self.register_buffer("bias", torch.zeros(count - 1, device=at.device))
        self.register_buffer("load", torch.zeros(count - 1, device=at.device), persistent=False)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        """(B, T, dim) to (B, T, dim)."""
        tokens = x.flatten(0, -2)
        active, routing = self.options.active, self.options.routing
        logits = self.logits(x, ctx)
        p = logits.softmax(-1)
        if routing == "soft_mixture":
            ctx.metrics[f"{self.path}.max_load"] = p.detach().mean(0).max()
            return self.dense(tokens, F.pad(p * ((active - 1) / active), (1, 0), value=1 / active)).view_as(x)
        chosen = (p.detach() + self.bias).topk(active - 1, dim=-1).indices
        load = (chosen.unsqueeze(-1) == torch.arange(len(self.load), device=x.device)).sum((0, 1)).to(self.load.dtype)
        ctx.metrics[f"{self.path}.max_load"] = load.max() / chosen.numel()
        if self.training:
            self.load.add_(load)
        # p_i / sum over S of p_j is a softmax over S, which no underflow can turn into 0 / 0.
        kept = logits.gather(1, chosen).softmax(-1) * ((active - 1) / active)
        # The shared expert is number 0 of the stacks; everybody chooses it with weight 1/K.
        chosen, weights = F.pad(chosen + 1, (1, 0)), F.pad(kept, (1, 0), value=1 / active)
        if routing == "hard":
            return self.sparse(tokens, chosen, weights).view_as(x)
        return self.dense(tokens, weights.new_zeros(len(tokens), len(self.up)).scatter(1, chosen, weights)).view_as(x)

    def logits(self, x: Tensor, ctx: Context) -> Tensor:
        """The router's view of the routed experts, (N, E - 1), fp32 or better."""
        logits: Tensor = self.router(x).to(torch.promote_types(x.dtype, torch.float32))
        u = None if self.noise is None else ctx.random(self.noise, tuple(logits.shape))
        if u is not None:
            logits = logits * (1 + self.options.noise * (2 * u - 1))
        return logits.flatten(0, -2)

    def activated(self, hidden: Tensor, gate: Tensor | None) -> Tensor:
        out: Tensor = self.activation(hidden) if gate is None else self.activation(hidden, gate)
        return out

    def dense(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Every expert on all N tokens, mixed by `weights` (N, E)."""
        gate = None if self.gate is None else tokens @ self.gate.mT
        out = self.activated(tokens @ self.up.mT, gate) @ self.down.mT
        return (out * weights.t().unsqueeze(-1)).sum(0)

    def sparse(self, tokens: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Only the `chosen` (N, K) experts of each token, mixed by `weights` (N, K)."""
        order = chosen.flatten().argsort(stable=True)
        ends = torch.searchsorted(chosen.flatten()[order], torch.arange(len(self.up), device=tokens.device), right=True)
        ends = ends.to(torch.int32)
        rows = tokens[order // chosen.shape[1]]
        gate = None if self.gate is None else expert_matmul(rows, self.gate, ends)
        out: Tensor = expert_matmul(self.activated(expert_matmul(rows, self.up, ends), gate), self.down, ends)
        # Going back by the inverse permutation, not by index_add, keeps CUDA deterministic.
        return (out[order.argsort()].view(*chosen.shape, -1) * weights.unsqueeze(-1)).sum(1)
