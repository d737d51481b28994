"""Replace softmax attention by a gated delta rule whose memory forgets each channel at a rate of its own.

Each head keeps a matrix S (Dv, Dk). For token t, with unit key k, unit query q, value v, gates a (Dk) in (0, 1) and
writing strength b in (0, 1), all functions of the input:

    S <- S diag(a);   S <- S + b (v - S k) k^T;   y = S q / sqrt(Dk)

q, k and v are projections of x, each channel convolved with the last `kernel` tokens, then SiLU;
a = exp(-exp(A) softplus(W_up W_down x + bias)), A a number per head, bias one per channel, b = sigmoid(w_b x); the
output is rms(y) gain sigmoid(V_up V_down x). Both pairs of maps go through one head's width. Every `softmax_every`-th
layer keeps softmax attention. `gated_delta_net` has one gate a head.

Suggested settings: the defaults, three such layers to one with softmax, which has no positions in the paper (`nope`).
When it hurts / conflicts: recall of a long text is limited by the size of S. Positions, scores and windows mean nothing
in it. Here in plain PyTorch, some tokens at once: slow and hungry beside the authors' kernel. Biases of the gate of the
output are left out.
Source: Kimi Team 2025 (Kimi Linear), arXiv:2510.26692.
"""

import torch
import torch.nn.functional as F
from coregpt_plugins._shared.recurrence import convolved, memory
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, RMSNorm, Site, hookimpl, unit_norm, without_autocast


class Kda(Plugin):
    kernel: PositiveInt = 4
    """Tokens that the convolutions of q, k and v see, the present one included."""
    softmax_every: NonNegativeInt = 4
    """Each so many layers one keeps softmax attention, the last of them; 0: none does."""
    chunk: PositiveInt = 16
    """Tokens computed together: speed and rounding, not the result."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module | None:
        keeps = self.softmax_every and at.layer is not None and (at.layer + 1) % self.softmax_every == 0
        return None if keeps else DeltaAttention(at, self.kernel, self.chunk)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(weight_decay=0.0) if param.path.endswith((".kda_rate", ".kda_bias")) else None


class DeltaAttention(nn.Module):
    """`(x, ctx) -> y`."""

    def __init__(self, at: Site, kernel: int, chunk: int):
        super().__init__()
        dim, width, self.heads, self.chunk = at.shape.dim, at.shape.head_dim, at.shape.heads, chunk
        self.q, self.k, self.v = (at.linear(name, dim, dim) for name in "qkv")
        sites = (at.child(f"{name}_conv") for name in "qkv")
        self.kernels = nn.ParameterList(site.weight("weight", (kernel, dim), "gate", kernel**-0.5) for site in sites)
        self.forget_down, self.gate_down = (at.linear(f"{name}_down", dim, width) for name in ("forget", "gate"))
        self.forget_up, self.gate_up = (at.linear(f"{name}_up", width, dim) for name in ("forget", "gate"))
        self.strength = at.linear("strength", dim, self.heads, role="gate")
        self.rate = at.scale("kda_rate", (self.heads, 1), 0.0)
        self.bias = at.scale("kda_bias", (dim,), -4.0)
        self.norm, self.gain = RMSNorm(width), at.scale("gain", (width,), 1.0)
        self.out = at.linear("out", dim, dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        q, k, v = (
            F.silu(convolved(part(x).float(), kernel, ctx.documents)).unflatten(-1, (self.heads, -1))
            for part, kernel in zip((self.q, self.k, self.v), self.kernels, strict=True)
        )
        q, k = unit_norm(q) * q.shape[-1] ** -0.5, unit_norm(k)
        opened = self.forget_up(self.forget_down(x)).float() + self.bias
        opened = torch.logaddexp(opened, torch.zeros_like(opened)).unflatten(-1, (self.heads, -1))  # softplus
        log_a = -self.rate.exp() * opened
        b = self.strength(x).float().sigmoid().unsqueeze(-1)
        with without_autocast(x):  # a memory adds up what its precision loses
            y = memory(q, log_a, -b * log_a.exp() * k, k, k, b * v, ctx.documents, self.chunk)
        gate = self.gate_up(self.gate_down(x)).sigmoid().unflatten(-1, (self.heads, -1))
        out: Tensor = self.out((self.norm(y) * self.gain * gate).flatten(-2))
        return out
