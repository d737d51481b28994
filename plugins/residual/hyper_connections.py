"""Give the residual stream n lanes, and let every branch learn what it reads from them and writes to them.

The state of a token is H (n, d), all lanes the embedding at first. Sublayer k (attention and MLP of each layer in
turn) reads u = sum_i m_i H_i and writes H'_j = sum_i r_ij H_i + b_j y. At the start m is lane k mod n, r the identity
and b all ones; the final hidden state is the sum of the lanes. With `dynamic`, the coefficients also depend on the
token: with Hn the lanes normalised to mean square 1,

    m_i += s_m tanh(Hn_i w_m),   r_ij += s_m tanh(Hn_i W_r)_j,   b_i += s_b tanh(Hn_i w_b)

w and W start at zero, s_m and s_b at `scale`. Only m, r and b are without weight decay.

Suggested settings: 4 lanes, dynamic.
When it hurts / conflicts: n times the memory of the stream, a little time. Not with what claims connections (nGPT).
Source: Zhu et al. 2024, arXiv:2409.19606.
"""

from collections.abc import Callable, Generator
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, RMSNorm, Site, hookimpl

STATIC = ("hyper_read", "hyper_mix", "hyper_write")


class HyperConnections(Plugin):
    lanes: PositiveInt = 4
    """n, copies of the residual stream."""
    dynamic: bool = True
    """Coefficients that depend on the token, besides those that do not."""
    scale: float = 0.01
    """How much a dynamic coefficient counts at first."""
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)

    @hookimpl
    def make_connection(self, at: Site) -> nn.Module:
        return Lanes(at, self)

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        return InLanes((yield), self.lanes)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        name = param.path.rpartition(".")[2]
        if name not in STATIC:
            return None
        return ParamRule(weight_decay=0.0, init=lambda value: self.start(name, param, value))

    def start(self, name: str, param: ParamInfo, value: Tensor) -> Tensor:
        """m, r or b of a plain residual connection, as `value` in shape."""
        if name == "hyper_write":
            return torch.ones_like(value)
        if name == "hyper_mix":
            return torch.eye(self.lanes, device=value.device)
        sublayer = 2 * (param.layer or 0) + (".mlp." in param.path)
        lanes = torch.arange(self.lanes, device=value.device)
        return (lanes == sublayer % self.lanes).to(value.dtype)


class InLanes(nn.Module):
    """The stack on a stream (B, T, n, d): copies in, their sum out."""

    def __init__(self, inner: nn.Module, lanes: int):
        super().__init__()
        self.inner, self.lanes = inner, lanes

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(x.unsqueeze(-2).expand(*x.shape[:-1], self.lanes, x.shape[-1]), ctx)
        return y.sum(-2)


class Lanes(nn.Module):
    """A connection of one branch with the lanes."""

    def __init__(self, at: Site, options: HyperConnections):
        super().__init__()
        n, dim = options.lanes, at.shape.dim
        self.m = at.scale("hyper_read", (n,), 0.0)
        self.r = at.scale("hyper_mix", (n, n), 0.0)
        self.b = at.scale("hyper_write", (n,), 0.0)
        self.dynamic = options.dynamic
        if self.dynamic:
            self.norm = RMSNorm(dim)
            self.w_m = at.scale("hyper_read_of", (dim,), 0.0, "gate")
            self.w_r = at.scale("hyper_mix_of", (dim, n), 0.0, "gate")
            self.w_b = at.scale("hyper_write_of", (dim,), 0.0, "gate")
            self.s_m = at.scale("hyper_scale", (), options.scale)
            self.s_b = at.scale("hyper_write_scale", (), options.scale)

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        m = self.m
        if self.dynamic:
            m = m + self.s_m * (self.norm(x) @ self.w_m.to(x.dtype)).tanh()
        return (m.unsqueeze(-1) * x).sum(-2)

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        r, b = self.r, self.b
        if self.dynamic:
            lanes = self.norm(x)
            r = r + self.s_m * (lanes @ self.w_r.to(x.dtype)).tanh()
            b = b + self.s_b * (lanes @ self.w_b.to(x.dtype)).tanh()
        return r.transpose(-1, -2) @ x + b.unsqueeze(-1) * y.unsqueeze(-2)
