"""Add to every head what the heads' recent attention, mixed into one map, finds in its values.

With P^h the softmax of head h over the last `window` tokens alone, under the masks and rules that attention has, and
numbers in and out of each token t and head h from a small network on attention's input x:

    P_t = sum_h in_th P^h_t       y_h <- y_h + out_th P_t V_h
    in = rms over heads (scale (gelu(x W_1) W_2 + b)), out = scale (gelu(x W_1) W_2' + b')

W_2, W_2' and b' start at zero and b so that `in` is 1: training starts as without it. Neither b decays. Heads of one
layer can so read with each other's eyes.

Suggested settings: the last layer (the default) and window 112, as the record has it; there the network reads one layer
for all its gates, here every layer has its own.
When it hurts / conflicts: computes scores of the window twice. Not in layers with paired heads. Routed blocks see some
tokens only.
Source: modded-nanogpt record 85; Xiao et al. 2024 (DCMHA), arXiv:2405.08553.
"""

import math
from collections.abc import Generator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from coregpt_plugins._shared.inside import replaced
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from coregpt.api import Attend, Context, Heads, ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl

NAME = "dc_lite"


class DcLite(Plugin):
    """Goes around softmax attention itself in chosen layers."""

    after: ClassVar[tuple[str, ...]] = ("paired_head_attention",)
    conflicts: ClassVar[tuple[str, ...]] = ("mixture_of_depths",)

    layers: tuple[NonNegativeInt, ...] | None = None
    """Layers where it happens. Empty: the last."""
    window: PositiveInt = 112
    """Tokens that are looked at again, the query included."""
    width: PositiveInt = 64
    """Of the small network."""
    scale: PositiveFloat = 0.1
    """Multiplies what it gives."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of all that is added."""

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        layers = (at.shape.depth - 1,) if self.layers is None else self.layers
        if wrong := [layer for layer in layers if layer >= at.shape.depth]:
            raise PluginError(f"{NAME}: layer {wrong[0]} of a model with {at.shape.depth} layers")
        if at.layer not in layers:
            return inner
        if at.has_shared(f"paired_head_attention.{at.layer}"):
            raise PluginError(f"'{NAME}' and 'paired_head_attention' are both in layer {at.layer}; choose other layers")
        make = lambda core: Composed(at, heads, core, self)  # noqa: E731
        found = replaced(inner, lambda part: isinstance(part, Attend), make)
        if found is None:
            raise PluginError(f"{NAME} at '{at.path}': expected core's softmax attention, got {type(inner).__name__}")
        return found

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if f".{NAME}." not in param.path:
            return None
        return ParamRule(lr=self.lr, weight_decay=0.0 if "bias" in param.path else 1.0)


class Composed(nn.Module):
    """Attention `inner`, and what all heads' recent attention finds."""

    def __init__(self, at: Site, heads: Heads, inner: Any, options: DcLite):
        super().__init__()
        own, dim = at.child(NAME), at.shape.dim
        self.inner, self.heads, self.window, self.scale = inner, heads, options.window, options.scale
        self.rules: Any = at.masks()
        self.changes = inner.scores  # now: others may yet go between this part and core's
        self.first = own.linear("first", dim, options.width, role="gate", std=1 / math.sqrt(3 * dim))
        self.second = own.linear("second", options.width, 2 * heads.query, role="gate", std=0.0)
        self.bias_in = own.scale("bias_in", (heads.query,), 1 / options.scale)
        self.bias_out = own.scale("bias_out", (heads.query,), 0.0)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q, k, v, x, ctx)
        made = self.second(F.gelu(self.first(x))).float().unflatten(-1, (2, -1))
        heard = self.scale * (made[..., 0, :] + self.bias_in)  # (B, T, H)
        heard = heard * (heard.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        said = self.scale * (made[..., 1, :] + self.bias_out)
        found = self.recent(q, k, v, heard, ctx)
        return y + (said.unsqueeze(-1) * found).to(y.dtype)

    def recent(self, q: Tensor, k: Tensor, v: Tensor, heard: Tensor, ctx: Context) -> Tensor:
        """(B, T, H, Dv): P_t V_h. Blocks of queries, long as the window, meet their own keys and the block before."""
        size, length, group = min(self.window, q.shape[1]), q.shape[1], self.heads.group
        blocks = -(-length // size)
        q, k, v, heard = (
            F.pad(part, (0, 0) * (part.dim() - 2) + (0, blocks * size - length)) for part in (q, k, v, heard)
        )
        q, heard = (part.unflatten(1, (blocks, size)) for part in (q, heard))
        k, v = (both(part, size) for part in (k, v))  # (B, n, 2 size, Hk, D)
        rows = q.permute(0, 3, 1, 2, 4)  # (B, H, n, size, D)
        keys = k.repeat_interleave(group, 3).permute(0, 3, 1, 4, 2)
        scores = (rows @ keys).float() * q.shape[-1] ** -0.5
        probs = self.seen(scores, length, ctx).softmax(-1)
        mixed = (probs * heard.permute(0, 3, 1, 2).unsqueeze(-1)).sum(1)  # (B, n, size, 2 size)
        y = mixed.to(v.dtype) @ v.flatten(-2)
        return y.flatten(1, 2)[:, :length].unflatten(-1, (self.heads.keys, -1)).repeat_interleave(group, 2)

    def seen(self, scores: Tensor, length: int, ctx: Context) -> Tensor:
        """Scores (B, H, n, size, 2 size) after the rules of this attention, -inf for what may not be seen."""
        batch, heads, blocks, size = scores.shape[:4]
        device = scores.device
        start = torch.arange(blocks, device=device).view(1, 1, -1, 1, 1) * size
        at = start + torch.arange(size, device=device).view(1, 1, 1, -1, 1)
        to = start - size + torch.arange(2 * size, device=device).view(1, 1, 1, 1, -1)
        allowed = (to >= 0) & (to <= at) & (to > at - self.window)
        b = torch.arange(batch, device=device).view(-1, 1, 1, 1, 1)
        h = torch.arange(heads, device=device).view(1, -1, 1, 1, 1)
        at, to = at.clamp(max=length - 1), to.clamp(0, length - 1)
        for rule in self.rules:
            allowed = allowed & rule(b, h, at, to, ctx)
        for change in self.changes:
            scores = change(scores, b, h, at, to, ctx)
        return scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)


def both(x: Tensor, size: int) -> Tensor:
    """x (B, n size, ...) as (B, n, 2 size, ...): each block behind the one before it, zeros before the first."""
    blocks = x.unflatten(1, (-1, size))
    before = torch.cat((torch.zeros_like(blocks[:, :1]), blocks[:, :-1]), 1)
    return torch.cat((before, blocks), 2)
