"""Replace softmax attention by RWKV-7's time mix: a memory that replaces what it holds at a key, in a learned part.

Each head keeps a matrix S (D, D). Of every token's input x_t and the one before it, six mixes
x + (x_(t-1) - x) mu make what r, w, k, v, a and g are projected from:

    w = exp(-e^(-1/2) sigmoid(d)), d = w_0 + U_w tanh(D_w x_w)     a = sigmoid(a_0 + U_a D_a x_a)
    kappa = k xi / |k xi|     k <- k (1 + (a - 1) alpha)     g = U_g sigmoid(D_g x_g)
    S <- S (diag(w) - kappa (a kappa)^T) + v k^T     y = norm(S r) + (r . (rho k)) v

norm is a layer norm over each head with a gain and a bias per channel; g y goes through the output projection. mu, w_0,
a_0, xi, alpha and rho are learned vectors (dim), started as the authors start them, and do not decay. D are (dim, rank)
and start at zero, U lead back to dim. The MLP stays the model's.

Suggested settings: the defaults: rank about 1.8 sqrt(dim), gate_rank about 0.6 dim^0.8.
When it hurts / conflicts: recall of a long text is limited by the size of S. Has no positions, scores or windows. Here
in plain PyTorch, some tokens at once: slow and hungry beside the authors' kernel. Their code also mixes the first
layer's values into later ones and starts matrices orthogonally; neither is here.
Source: Peng et al. 2025, arXiv:2503.14456; github.com/BlinkDL/RWKV-LM (RWKV-7).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from coregpt_plugins._shared.recurrence import earlier, memory
from pydantic import PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, Site, hookimpl, unit_norm, without_autocast

POWERS = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}
"""How steeply each mix rises over the channels at first."""
EPS = 64e-5


class Rwkv7TimeMix(Plugin):
    rank: PositiveInt | None = None
    """Width of the maps that make w and a. Empty: about 1.8 sqrt(dim), a multiple of 8."""
    gate_rank: PositiveInt | None = None
    """Width of the map that makes g. Empty: about 0.6 dim^0.8, a multiple of 8."""
    chunk: PositiveInt = 16
    """Tokens computed together: speed and rounding, not the result."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        dim = at.shape.dim
        rank = self.rank or eights(1.8 * math.sqrt(dim))
        return TimeMix(at, rank, self.gate_rank or eights(0.6 * dim**0.8), self.chunk)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        *_, place, name = param.path.split(".")
        if place != "time_mix":
            return None
        layer, last = param.layer or 0, max(param.model.depth - 1, 1)
        if name.startswith("mix_"):
            power = POWERS[name[-1]] * (1 - layer / param.model.depth)
            return ParamRule(weight_decay=0.0, init=lambda value: 1 - channels(value, len(value)) ** power)
        if name == "decay":
            power = 0.85 + math.sqrt(layer / last)
            return ParamRule(weight_decay=0.0, init=lambda v: 5 * channels(v, max(len(v) - 1, 1)) ** power - 6.5)
        return ParamRule(weight_decay=0.0)


def eights(size: float) -> int:
    """The nearest multiple of 8, one at least."""
    return max(round(size / 8), 1) * 8


def channels(value: Tensor, parts: int) -> Tensor:
    """i / parts for each channel i."""
    return torch.arange(len(value), dtype=value.dtype, device=value.device) / parts


class TimeMix(nn.Module):
    """`(x, ctx) -> y`."""

    def __init__(self, at: Site, rank: int, gate_rank: int, chunk: int):
        super().__init__()
        dim, self.heads, self.chunk = at.shape.dim, at.shape.heads, chunk
        own = at.child("time_mix")
        self.mixes = nn.ParameterDict({name: own.scale(f"mix_{name}", (dim,), 0.0) for name in POWERS})
        starts = {"decay": 0.0, "strength": 0.0, "xi": 0.85, "alpha": 1.0, "rho": 0.0, "gain": 1.0, "bias": 0.0}
        self.vectors = nn.ParameterDict({name: own.scale(name, (dim,), value) for name, value in starts.items()})
        self.r, self.k, self.v = (at.linear(name, dim, dim) for name in "rkv")
        ranks = {"w": rank, "a": rank, "g": gate_rank}
        self.down = nn.ModuleDict({name: at.linear(f"{name}_down", dim, n, std=0.0) for name, n in ranks.items()})
        self.up = nn.ModuleDict({name: at.linear(f"{name}_up", n, dim) for name, n in ranks.items()})
        self.out = at.linear("out", dim, dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        change, vector = earlier(x, 1, ctx.documents) - x, self.vectors
        mixed = {name: x + change * mix for name, mix in self.mixes.items()}
        r, k, v = (part(mixed[name]).float() for name, part in (("r", self.r), ("k", self.k), ("v", self.v)))
        d = vector["decay"] + self.up["w"](self.down["w"](mixed["w"]).tanh()).float()
        a = (vector["strength"] + self.up["a"](self.down["a"](mixed["a"])).float()).sigmoid()
        kappa = unit_norm(self.apart(k * vector["xi"]))
        k = k * (1 + (a - 1) * vector["alpha"])
        r, log_w, a, k, v = map(self.apart, (r, -math.exp(-0.5) * d.sigmoid(), a, k, v))
        with without_autocast(x):  # a memory adds up what its precision loses
            y = memory(r, log_w, -kappa, a * kappa, k, v, ctx.documents, self.chunk)
        y = F.layer_norm(y, y.shape[-1:], eps=EPS) * self.apart(vector["gain"]) + self.apart(vector["bias"])
        y = y + (r * self.apart(vector["rho"]) * k).sum(-1, keepdim=True) * v
        g = self.up["g"](self.down["g"](mixed["g"]).sigmoid())
        out: Tensor = self.out(y.flatten(-2) * g)
        return out

    def apart(self, x: Tensor) -> Any:
        """(..., dim) to (..., H, D)."""
        return x.unflatten(-1, (self.heads, -1))
