"""Let every head have queries, keys and values mixed from those of all heads.

With W_m the rows of head m of a projection of width H D, and M (H, H) learned for each of q, k and v:

    W'_h = sum over m of M[h, m] W_m

M starts as the identity: training starts as without it. As a product it adds nothing that the projection could not say;
what changes is how it moves: one number of M turns a whole head.

Suggested settings: the default.
When it hurts / conflicts: under weight decay M shrinks towards zero, so it does not decay here. Where keys or values
have fewer heads than queries they are left as they are; latent attention has no such projections.
Source: modded-nanogpt, a proposal for the short track of 2026 (interleaved heads).
"""

from collections.abc import Generator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from coregpt.api import ParamInfo, ParamRule, Plugin, Site, hookimpl


class Iha(Plugin):
    """Wraps projections of attention."""

    conflicts: ClassVar[tuple[str, ...]] = ("gqa",)

    of: Annotated[tuple[Literal["q", "k", "v"], ...], Field(min_length=1)] = ("q", "k", "v")
    """Projections whose heads are mixed."""

    @hookimpl(wrapper=True)
    def make_linear(self, at: Site, d_out: int) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        *_, kind, name = ("", *at.path.split("."))
        meant = kind == "attention" and name in self.of and d_out % at.shape.heads == 0
        return Mixed(at, inner) if meant else inner

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if not param.path.endswith(".head_mix"):
            return None
        return ParamRule(weight_decay=0.0, init=lambda mix: torch.eye(len(mix), dtype=mix.dtype, device=mix.device))


class Mixed(nn.Module):
    """The projection `inner` of x (..., d_in), its H heads mixed: the same as if their rows were."""

    def __init__(self, at: Site, inner: nn.Module):
        super().__init__()
        self.inner, heads = inner, at.shape.heads
        self.mix = at.scale("head_mix", (heads, heads), 0.0, role="gate")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        heads = y.unflatten(-1, (len(self.mix), -1))  # (..., H, D)
        return (self.mix.to(y.dtype) @ heads).flatten(-2)
