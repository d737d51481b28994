"""Shrink the query and key weights of a head whose largest attention score went beyond a bound.

After every update, with S_h the largest score that head h gave to any query and key of the step's batch:
where S_h > `tau`, gamma = tau / S_h, and the head's rows of W_q and W_k are multiplied by sqrt(gamma), so that the same
batch would score at most tau. Where several query heads share a key head, W_k stays and the rows of W_q take all of
gamma, as the paper does with the shared part of its keys. Scores are those that softmax sees.

Suggested settings: tau 100, with Muon.
When it hurts / conflicts: without effect where scores are bounded otherwise: qk_norm and ngpt undo any scale of q and
k, so both exclude it. Attention with other projections than `q` and `k`, as mla has, is refused.
Source: Kimi Team 2025 (Kimi K2, MuonClip), arXiv:2507.20534, algorithm 1.
"""

from collections.abc import Generator

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import Clock, Companion, Context, Heads, Plugin, PluginError, RunView, Site, hookimpl


class Watched(nn.Module):
    """Attention `inner` as it is; keeps the largest score per head (H,) of all training passes since `top` was zero."""

    top: Tensor

    def __init__(self, at: Site, heads: Heads, inner: nn.Module):
        super().__init__()
        self.inner, self.heads, self.path = inner, heads, at.path
        self.key = at.watch("top")
        self.register_buffer("top", torch.zeros(heads.query, device=at.device), persistent=False)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q, k, v, x, ctx)
        if self.training:
            self.top.copy_(self.top.maximum(ctx.saved[self.key]))
        return y


class Clip(Companion):
    """Looks at every watched attention after each update."""

    def __init__(self, run: RunView, tau: float):
        self.tau, self.all_max = tau, run.all_max
        modules = [] if run.model is None else list(run.model.modules())
        self.watched = [part for part in modules if isinstance(part, Watched)]
        self.weights = [(_weight(run, part, "q"), _weight(run, part, "k")) for part in self.watched]

    @torch.no_grad()
    def after_update(self, clock: Clock) -> None:
        tops = self.all_max(torch.cat([part.top for part in self.watched])) if self.watched else None
        if tops is None:
            return
        each = (self.tau / tops.clamp(min=self.tau)).split([part.heads.query for part in self.watched])
        for part, (q, k), gamma in zip(self.watched, self.weights, each, strict=True):
            alone = part.heads.group == 1
            _by_head(q, gamma.sqrt() if alone else gamma)
            if alone:
                _by_head(k, gamma.sqrt())
            part.top.zero_()


def _by_head(weight: Tensor, factor: Tensor) -> None:
    """Multiplies the rows (H D, dim) of each head by its factor (H,), in place."""
    weight.view(len(factor), -1).mul_(factor[:, None])


def _weight(run: RunView, part: Watched, name: str) -> Tensor:
    path = f"{part.path.rpartition('.')[0]}.{name}.weight"
    rows = (part.heads.query if name == "q" else part.heads.keys) * part.heads.width
    if path not in run.params or run.params[path].shape[0] != rows:
        raise PluginError(f"qk_clip at '{part.path}': expected a projection '{path}' with {rows} rows")
    return run.params[path]


class QkClip(Plugin):
    conflicts = ("mla", "mla_nsa_hybrid", "ngpt", "qk_norm")

    tau: PositiveFloat = 100.0
    """Largest score that a head may keep."""

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        return Watched(at, heads, (yield))

    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Clip(run, self.tau)
