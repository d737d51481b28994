"""Replace softmax attention by a memory of fixed size that forgets by a gate and overwrites what it already holds.

Each head keeps a matrix S (Dv, Dk). For token t, with unit key k, unit query q, value v, gate a in (0, 1) and
writing strength b in (0, 1), all functions of the input:

    S <- a S;   S <- S + b (v - S k) k^T;   y = S q / sqrt(Dk)

q, k and v are projections of x, each channel convolved with the last `kernel` tokens, then SiLU;
a = exp(-A softplus(w_a x + bias)), b = sigmoid(w_b x); the output is rms(y) gain SiLU(W_g x). Costs grow with T, not
T^2. Computed in chunks: within one, the reads of all tokens solve one triangular system. A document separator empties
the memory, where the run masks documents.

Suggested settings: the defaults; in mixtures with a few layers of softmax attention.
When it hurts / conflicts: recall of a long text is limited by the size of S. Has no positions, scores or windows:
plugins about these have nothing to do in it.
Source: Yang et al. 2024, arXiv:2412.06464; chunks: Yang et al. 2024, arXiv:2406.06484.
"""

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, RMSNorm, Site, hookimpl, unit_norm, without_autocast


class GatedDeltaNet(Plugin):
    kernel: PositiveInt = 4
    """Tokens that the convolutions of q, k and v see, the present one included."""
    chunk: PositiveInt = 32
    """Tokens computed together: speed and rounding, not the result."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        return DeltaNet(at, self.kernel, self.chunk)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(weight_decay=0.0) if param.path.endswith((".delta_rate", ".delta_bias")) else None


class DeltaNet(nn.Module):
    """`(x, ctx) -> y`."""

    def __init__(self, at: Site, kernel: int, chunk: int):
        super().__init__()
        dim, self.heads, self.chunk = at.shape.dim, at.shape.heads, chunk
        self.q, self.k, self.v = (at.linear(name, dim, dim) for name in "qkv")
        self.convolutions = nn.ModuleList(Convolution(at.child(f"{name}_conv"), dim, kernel) for name in "qkv")
        self.forget = at.linear("forget", dim, self.heads, role="gate")
        self.strength = at.linear("strength", dim, self.heads, role="gate")
        self.rate = at.scale("delta_rate", (self.heads,), 0.0)
        self.bias = at.scale("delta_bias", (self.heads,), -4.0)
        self.norm, self.gain = RMSNorm(at.shape.head_dim), at.scale("gain", (at.shape.head_dim,), 1.0)
        self.gate = at.linear("gate", dim, dim)
        self.out = at.linear("out", dim, dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        q, k, v = (
            F.silu(convolve(part(x).float(), ctx.documents)).unflatten(-1, (self.heads, -1))
            for part, convolve in zip((self.q, self.k, self.v), self.convolutions, strict=True)
        )
        q, k = unit_norm(q) * q.shape[-1] ** -0.5, unit_norm(k)
        opened = self.forget(x).float() + self.bias
        kept = -self.rate.exp() * torch.logaddexp(opened, torch.zeros_like(opened))  # softplus
        b = self.strength(x).float().sigmoid()
        with without_autocast(x):  # a memory adds up what its precision loses
            y = delta_rule(q, k, v, kept, b, ctx.documents, self.chunk)
        y = self.norm(y) * self.gain * F.silu(self.gate(x)).unflatten(-1, (self.heads, -1))
        out: Tensor = self.out(y.flatten(-2))
        return out


class Convolution(nn.Module):
    """Each channel of (B, T, C) mixed with its own last values, within a document: a causal depthwise convolution."""

    def __init__(self, at: Site, channels: int, kernel: int):
        super().__init__()
        self.weight = at.weight("weight", (kernel, channels), "gate", kernel**-0.5)

    def forward(self, x: Tensor, documents: Tensor | None) -> Tensor:
        y = x * self.weight[0]
        for back in range(1, min(len(self.weight), x.shape[1])):
            past = F.pad(x[:, :-back], (0, 0, back, 0))
            if documents is not None:
                same = documents[:, back:] == documents[:, :-back]
                past = past * F.pad(same, (back, 0)).unsqueeze(-1)
            y = y + past * self.weight[back]
        return y


def delta_rule(q: Tensor, k: Tensor, v: Tensor, kept: Tensor, b: Tensor, documents: Tensor | None, size: int) -> Tensor:
    """y (B, T, H, Dv) of q, k (B, T, H, Dk), v (B, T, H, Dv), log gates and strengths (B, T, H), `size` tokens at once.

    In a chunk that finds the memory S, with g_t the product of its gates up to t, what token t adds to the memory is
    u_t k_t^T with u_t = b_t (v_t - g_t S k_t - sum_{i<t} g_t / g_i (k_i . k_t) u_i): a triangular system in u.
    """
    length = q.shape[1]
    q, k, v = (F.pad(t.transpose(1, 2), (0, 0, 0, -length % size)) for t in (q, k, v))
    kept, b = (F.pad(t.transpose(1, 2), (0, -length % size)) for t in (kept, b))
    if documents is None:
        documents = torch.zeros(len(q), length, dtype=torch.long, device=q.device)
    at = torch.cat((documents, documents[:, -1:].expand(-1, -length % size)), 1)
    memory = q.new_zeros(*q.shape[:2], v.shape[-1], k.shape[-1])
    before = at[:, :1]
    read = []
    for start in range(0, q.shape[2], size):
        here = slice(start, start + size)
        one = [t[:, :, here] for t in (q, k, v, kept, b)]
        y, memory = chunk(one[0], one[1], one[2], one[3], one[4], at[:, here], before, memory)
        before = at[:, here][:, -1:]
        read.append(y)
    return torch.cat(read, 2)[:, :, :length].transpose(1, 2)


def chunk(
    q: Tensor, k: Tensor, v: Tensor, kept: Tensor, b: Tensor, at: Tensor, before: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Reads, and the memory afterwards, of a chunk (B, H, C, ...); `at` (B, C) documents, `before` (B, 1) the last."""
    logs = kept.cumsum(-1)
    carried = logs.exp() * (at == before)[:, None]  # (B, H, C): what is left of `memory` at each token
    same = (at[:, :, None] == at[:, None, :]).tril()[:, None]
    decay = (logs[..., :, None] - logs[..., None, :]).masked_fill(~same, float("-inf")).exp()  # g_t / g_i
    system = (b.unsqueeze(-1) * decay * (k @ k.mT)).tril(-1)
    wanted = b.unsqueeze(-1) * (v - carried.unsqueeze(-1) * (k @ memory.mT))
    u = inverse(system) @ wanted
    y = carried.unsqueeze(-1) * (q @ memory.mT) + (decay * (q @ k.mT)) @ u
    after = carried[..., -1:, None] * memory + (decay[..., -1, :].unsqueeze(-1) * u).mT @ k
    return y, after


def inverse(system: Tensor) -> Tensor:
    """(I + system)^-1 of strictly lower triangular matrices (..., C, C), by blocks that double in size.

    Where the diagonal blocks of size s are inverted, those of size 2 s follow: inv([A 0; L B]) = [A' 0; -B' L A' B'].
    """
    index = torch.arange(system.shape[-1], device=system.device)
    found = torch.eye(len(index), dtype=system.dtype, device=system.device).expand_as(system)
    size = 1
    while size < len(index):
        half = index // size
        corner = (half[:, None] % 2 == 1) & (half[:, None] - 1 == half[None, :])
        found = found - found @ (system * corner) @ found
        size *= 2
    return found
