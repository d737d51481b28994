"""Hyper-connections whose mixing of lanes can neither blow a signal up nor let it die away.

The state of a token is H (n, d), all lanes the embedding at first. A branch reads u = sum_i m_i H_i and writes
H'_i = sum_j R_ij H_j + b_i y. With h all n d numbers of H, normalised together to mean square 1,

    m = sigmoid(s_m h P_m + c_m)      b = 2 sigmoid(s_b h P_b + c_b)      R = sinkhorn(s_r h P_r + C_r)

R is doubly stochastic: exp of its argument, rows and columns divided by their sums in turn, `rounds` times. The scales
s start at `scale`, P as other matrices, c_m so that m is about 1/n, c_b so that b is 1, C_r so that R is near the
identity: nearly a plain residual connection, whose lanes part because P tells them apart. The last vectors are the sum
of the lanes. c, C and s do not decay.

Suggested settings: 4 lanes, 20 rounds, scale 0.01, as published.
When it hurts / conflicts: n times the memory of the stream, and small matrices per token that a plain CPU is slow at.
How c and C start is not published. Not with what claims connections.
Source: Xie et al. 2025 (DeepSeek), arXiv:2512.24880.
"""

import math
from collections.abc import Callable, Generator
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, RMSNorm, Site, hookimpl

STILL = ("mhc_read", "mhc_write", "mhc_mix", "mhc_scales")
NEAR = 8.0
"""C_r at first: this much on the diagonal, zero beside it; R then keeps 0.999 of each of 4 lanes."""


class Mhc(Plugin):
    lanes: PositiveInt = 4
    """n, copies of the residual stream."""
    rounds: PositiveInt = 20
    """How often rows and columns are divided by their sums."""
    scale: NonNegativeFloat = 0.01
    """s at first."""
    conflicts: ClassVar[tuple[str, ...]] = ("hyper_connections", "mixture_of_depths", "ngpt", "partitioned_hc")

    @hookimpl
    def make_connection(self, at: Site) -> nn.Module:
        return Lanes(at, self)

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        return InLanes((yield), self.lanes)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        name = param.path.rpartition(".")[2]
        if name == "mhc_mix":
            return ParamRule(weight_decay=0.0, init=lambda value: NEAR * torch.eye(self.lanes, device=value.device))
        return ParamRule(weight_decay=0.0) if name in STILL else None


class InLanes(nn.Module):
    """The stack on a stream (B, T, n, d): copies in, their sum out."""

    def __init__(self, inner: nn.Module, lanes: int):
        super().__init__()
        self.inner, self.lanes = inner, lanes

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(x.unsqueeze(-2).expand(*x.shape[:-1], self.lanes, x.shape[-1]), ctx)
        return y.sum(-2)


class Lanes(nn.Module):
    """A connection of one branch with the lanes (B, T, n, d)."""

    def __init__(self, at: Site, options: Mhc):
        super().__init__()
        n, wide = options.lanes, options.lanes * at.shape.dim
        self.n, self.rounds, self.norm = n, options.rounds, RMSNorm(wide)
        self.p = at.weight("mhc_of", (wide, 2 * n + n * n), "gate", at.shape.init_std)
        self.scales = at.scale("mhc_scales", (3,), options.scale)
        self.c_m = at.scale("mhc_read", (n,), -math.log(n - 1) if n > 1 else NEAR)
        self.c_b = at.scale("mhc_write", (n,), 0.0)
        self.c_r = at.scale("mhc_mix", (n, n), 0.0)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What m, b and R are made of: (B, T, n), (B, T, n), (B, T, n, n), fp32."""
        normed = self.norm(x.flatten(-2))
        m, b, r = (normed @ self.p.to(normed.dtype)).float().split((self.n, self.n, self.n * self.n), -1)
        s_m, s_b, s_r = self.scales
        return s_m * m + self.c_m, s_b * b + self.c_b, s_r * r.unflatten(-1, (self.n, self.n)) + self.c_r

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        m = self.parts(x)[0].sigmoid()
        return (m.unsqueeze(-1) * x).sum(-2)

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        _, b, r = self.parts(x)
        mixed = sinkhorn(r, self.rounds).to(x.dtype) @ x
        return mixed + 2 * b.sigmoid().unsqueeze(-1) * y.unsqueeze(-2)


def sinkhorn(scores: Tensor, rounds: int) -> Tensor:
    """exp(scores) (..., n, n), made nearly doubly stochastic; columns last."""
    found = (scores - scores.amax((-2, -1), keepdim=True)).exp()
    for _ in range(rounds):
        found = found / found.sum(-1, keepdim=True)
        found = found / found.sum(-2, keepdim=True)
    return found
