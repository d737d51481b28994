"""Replace softmax attention by Mamba-2's selective state space: a memory of fixed size that forgets by the token.

With E = expand x dim inner channels in heads of the model's width D, and u, B, C the parts of a projection of x, each
channel convolved with the last `kernel` tokens, then SiLU: u (heads, D), B and C (state), the same for all heads. Each
head keeps a matrix S (D, state):

    delta = softplus(w x + bias)      S <- exp(-exp(A) delta) S + delta u B^T      y = S C + skip u

A, bias and skip are numbers of the head and do not decay. The output is W_out (gain rms(y SiLU(W_z x))), the norm over
all E channels. A starts as the logarithm of a number from 1 to 16, bias so that delta is from 0.001 to 0.1, evenly in
the logarithm, as published; skip at 1. Every `softmax_every`-th layer keeps softmax attention.

Suggested settings: the defaults; the published model has no MLPs and twice as many layers, with state 128; mixtures
with softmax in one layer of eight to twelve.
When it hurts / conflicts: about 6 dim^2 weights a layer at expand 2 where attention has 4: compare at equal parameters
too. Recall of a long text is limited by the size of S. Has no positions, scores or windows. Here in plain PyTorch, some
tokens at once; a kernel of its own would be several times faster on a GPU.
Source: Dao and Gu 2024 (Mamba-2), arXiv:2405.21060; github.com/state-spaces/mamba.
"""

import math

import torch
import torch.nn.functional as F
from coregpt_plugins._shared.recurrence import convolved, numbered
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, RMSNorm, Site, hookimpl, without_autocast


class Mamba2(Plugin):
    expand: PositiveInt = 2
    """Inner channels as a multiple of dim."""
    state: PositiveInt = 64
    """Numbers that each inner channel keeps."""
    kernel: PositiveInt = 4
    """Tokens that the convolution sees, the present one included."""
    softmax_every: NonNegativeInt = 0
    """Each so many layers one keeps softmax attention, the last of them; 0: none does."""
    chunk: PositiveInt = 32
    """Tokens computed together: speed and rounding, not the result."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module | None:
        keeps = self.softmax_every and at.layer is not None and (at.layer + 1) % self.softmax_every == 0
        return None if keeps else StateSpace(at, self)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        *_, place, name = param.path.split(".")
        if place != "mamba2":
            return None
        start = {"decay": spread_decay, "bias": spread_delta}.get(name)
        return ParamRule(weight_decay=0.0, init=start) if start else ParamRule(weight_decay=0.0)


def uniform(drawn: Tensor) -> Tensor:
    """In (0, 1), of normal numbers."""
    return (1 + torch.erf(drawn / math.sqrt(2))) / 2


def spread_decay(drawn: Tensor) -> Tensor:
    """The logarithm of a number from 1 to 16."""
    return (1 + 15 * uniform(drawn)).log()


def spread_delta(drawn: Tensor) -> Tensor:
    """What softplus makes a number from 0.001 to 0.1 of."""
    return (0.001 * 100 ** uniform(drawn)).expm1().log()


class StateSpace(nn.Module):
    """`(x, ctx) -> y`."""

    def __init__(self, at: Site, options: Mamba2):
        super().__init__()
        dim, self.state, self.chunk = at.shape.dim, options.state, options.chunk
        self.inner, self.heads = options.expand * dim, options.expand * at.shape.heads
        own, mixed = at.child("mamba2"), self.inner + 2 * self.state
        self.z, self.mix = at.linear("z", dim, self.inner), at.linear("mix", dim, mixed)
        self.delta = at.linear("delta", dim, self.heads, role="gate")
        self.kernel = own.weight("kernel", (options.kernel, mixed), "gate", options.kernel**-0.5)
        self.shift = own.scale("shift", (mixed,), 0.0)
        self.decay = own.weight("decay", (self.heads,), "scalar", 1.0)
        self.bias = own.weight("bias", (self.heads,), "scalar", 1.0)
        self.skip, self.gain = own.scale("skip", (self.heads, 1), 1.0), own.scale("gain", (self.inner,), 1.0)
        self.norm = RMSNorm(self.inner)
        self.out = at.linear("out", self.inner, dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        mixed = F.silu(convolved(self.mix(x).float(), self.kernel, ctx.documents) + self.shift)
        u, b, c = mixed.split((self.inner, self.state, self.state), -1)
        opened = self.delta(x).float() + self.bias
        delta = torch.logaddexp(opened, torch.zeros_like(opened))  # softplus
        u = u.unflatten(-1, (self.heads, -1))
        with without_autocast(x):  # a memory adds up what its precision loses
            y = scan(-self.decay.exp() * delta, delta.unsqueeze(-1) * u, b, c, ctx.documents, self.chunk)
        y = (y + self.skip * u).flatten(-2) * F.silu(self.z(x).float())
        out: Tensor = self.out(self.norm(y) * self.gain)
        return out


def scan(log_a: Tensor, u: Tensor, b: Tensor, c: Tensor, documents: Tensor | None, size: int) -> Tensor:
    """y_t = S_t c_t (B, T, H, D) of S_t = a_t S_(t-1) + u_t b_t^T, S_0 = 0, `size` tokens at once.

    log_a (B, T, H) <= 0, u (B, T, H, D), b and c (B, T, N). A separator empties S.
    """
    length = u.shape[1]
    at = numbered(documents, u, size)
    log_a = F.pad(log_a.transpose(1, 2), (0, -length % size))
    u = F.pad(u.transpose(1, 2), (0, 0, 0, -length % size))
    b, c = (F.pad(part, (0, 0, 0, -length % size)).unsqueeze(1) for part in (b, c))
    state, before, read = u.new_zeros(*u.shape[:2], u.shape[-1], b.shape[-1]), at[:, :1], []
    for start in range(0, at.shape[1], size):
        here = slice(start, start + size)
        logs, own = log_a[:, :, here].cumsum(-1), at[:, here]
        write, key, ask = (part[:, :, here] for part in (u, b, c))
        same = (own[:, :, None] == own[:, None, :]).tril()[:, None]
        decay = (logs[..., :, None] - logs[..., None, :]).masked_fill(~same, float("-inf")).exp()
        carried = (logs.exp() * (own == before)[:, None]).unsqueeze(-1)
        read.append((decay * (ask @ key.mT)) @ write + carried * (ask @ state.mT))
        state = carried[:, :, -1:] * state + (decay[:, :, -1].unsqueeze(-1) * write).mT @ key
        before = own[:, -1:]
    return torch.cat(read, 2)[:, :, :length].transpose(1, 2)
