"""Divide each gradient by the second moment of what its linear map reads, before Muon sees it.

For a map y = x W^T of width c, with S the average of x x^T over tokens:

    G <- G (S + k I)^-1,    k = 0.2 tr(S) / c + 1e-8
    S <- 0.95 S + 0.05 X    after every `every` steps, X the mean of x x^T over their training tokens; at first 0.001 I

Until the first of these G stays as it is. An input wider than the stream (the MLP's second matrix) is cut in pieces of
the stream's width, each by itself; a moment that is not positive definite counts as I, and so do maps that the model
does not make with `at.linear` (stacks of experts).

Suggested settings: every 64, with muon's lr 0.02 to 0.03 and weight_decay 0.025 to 0.0375.
When it hurts / conflicts: one more product per map and token, c x c, in every forward pass of training; 3 c^2 numbers
per map. A second pass (sam, sophia) is read as well.
Source: modded-nanogpt optimization track, record 15, whose rates and decays differ by map; here they are Muon's.
"""

from collections.abc import Generator
from typing import Any, ClassVar

import torch
from coregpt_plugins._shared.matrices import is_matrix
from pydantic import PositiveInt, PrivateAttr
from torch import Tensor, nn

from coregpt.api import (
    Clock,
    Companion,
    Dials,
    ParamGroup,
    Plugin,
    RunView,
    Site,
    UpdateRule,
    hookimpl,
    without_autocast,
)


class NewtonMuon(Plugin):
    """Wraps linear maps and the updates of their matrices."""

    after: ClassVar[tuple[str, ...]] = ("muon", "normuon")
    requires: ClassVar[tuple[str, ...]] = ("muon",)

    every: PositiveInt = 64
    """Steps from one inverse to the next."""

    _rules: dict[str, "Divided"] = PrivateAttr(default_factory=dict)
    """By parameter the rule that its companion tells the inverses."""

    @hookimpl(wrapper=True)
    def make_linear(self, at: Site, d_in: int) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        return Watched(at, inner, pieces(d_in, at.shape.dim)) if at.role == "matrix" else inner

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        if not is_matrix(group):
            return rule
        divided = Divided(rule, group, pieces(group.shape[-1], group.model.dim))
        self._rules.update(dict.fromkeys(group.paths, divided))
        return divided

    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Moments(self.every, run, self._rules)


def pieces(width: int, dim: int) -> tuple[int, int]:
    """How many pieces an input is cut in, and how wide each is."""
    return (width // dim, dim) if width > dim and width % dim == 0 else (1, width)


class Watched(nn.Module):
    """A linear map as it is; sums x x^T of the tokens that it reads in training."""

    total: Tensor
    tokens: Tensor

    def __init__(self, at: Site, inner: nn.Module, cut: tuple[int, int]):
        super().__init__()
        self.inner, self.cut, self.path = inner, cut, f"{at.path}.weight"
        number, width = cut
        self.register_buffer("total", torch.zeros(number, width, width, device=at.device), persistent=False)
        self.register_buffer("tokens", torch.zeros((), device=at.device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            read = x.detach().float().reshape(-1, *self.cut).transpose(0, 1)  # (pieces, tokens, width)
            with without_autocast(read):
                self.total.add_(read.mT @ read)
            self.tokens.add_(read.shape[1])
        y: Tensor = self.inner(x)
        return y


class Divided:
    """The update rule `inner` on G (S + k I)^-1; state: inverses, (n, pieces, width, width)."""

    def __init__(self, inner: UpdateRule, group: ParamGroup, cut: tuple[int, int]):
        self.inner, self.paths, self.cut = inner, group.paths, cut
        self.lr, self.weight_decay = inner.lr, inner.weight_decay
        self.news: dict[str, Tensor] = {}
        """By parameter, inverses of this step."""

    def init(self, p: Tensor) -> dict[str, Tensor]:
        number, width = self.cut
        return {**self.inner.init(p), "newton_inverse": torch.eye(width).to(p).repeat(len(p), number, 1, 1)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        inverse = state["newton_inverse"]
        if self.news:
            rows = dials["rows"]
            assert isinstance(rows, Tensor)
            for place, row in enumerate(rows.tolist()):
                if row < len(self.paths) and self.paths[row] in self.news:  # beyond them a stack is padded
                    inverse[place].copy_(self.news[self.paths[row]])
            self.news.clear()
        cut = g.flatten(1, -2).unflatten(-1, self.cut).transpose(1, 2)  # (n, pieces, all rows, width)
        divided = (cut @ inverse).transpose(1, 2).reshape(g.shape)
        return self.inner.direction(p, divided, state, dials)


class Moments(Companion):
    """S of every watched map, and the sum that grows until the next refresh."""

    def __init__(self, every: int, run: RunView, rules: dict[str, Divided]):
        self.every, self.run, self.rules = every, run, rules
        modules = [] if run.model is None else list(run.model.modules())
        self.watched = [part for part in modules if isinstance(part, Watched) and part.path in run.params]
        self.moments = [
            1e-3 * torch.eye(part.cut[1]).to(part.total).expand_as(part.total).clone() for part in self.watched
        ]
        self.sums = [torch.zeros_like(part.total) for part in self.watched]
        self.tokens = 0.0

    @torch.no_grad()
    def before_update(self, clock: Clock) -> None:
        for part, total in zip(self.watched, self.sums, strict=True):
            total.add_(self.run.all_reduce(part.total.clone()))
            part.total.zero_()
        if self.watched:
            self.tokens += float(self.run.all_reduce(self.watched[0].tokens.clone()))
        for part in self.watched:
            part.tokens.zero_()
        if (clock.step + 1) % self.every == 0 and self.tokens:
            self.refresh()

    def refresh(self) -> None:
        """Takes the sums into S, and tells the rules the new inverses."""
        for part, moment, total in zip(self.watched, self.moments, self.sums, strict=True):
            moment.lerp_(total / self.tokens, 0.05)
            total.zero_()
            if part.path in self.rules:
                self.rules[part.path].news[part.path] = inverse_of(moment)
        self.tokens = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "moments": [x.cpu() for x in self.moments], "sums": [x.cpu() for x in self.sums]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens = state["tokens"]
        for mine, saved in ((self.moments, state["moments"]), (self.sums, state["sums"])):
            for value, kept in zip(mine, saved, strict=True):
                value.copy_(kept)


def inverse_of(moment: Tensor) -> Tensor:
    """(S + k I)^-1 of every piece (pieces, width, width); the identity where that has no Cholesky factor."""
    identity = torch.eye(moment.shape[-1], dtype=moment.dtype, device=moment.device)
    k = 0.2 * moment.diagonal(dim1=-2, dim2=-1).mean(-1) + 1e-8
    factor, failed = torch.linalg.cholesky_ex(moment + k[:, None, None] * identity)
    good = (failed == 0)[:, None, None]
    return torch.where(good, torch.cholesky_inverse(torch.where(good, factor, identity)), identity)
