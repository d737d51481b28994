"""Remember gradients in several averages of different length instead of one, and shorten the memory towards the end.

K averages with mean ages a_1 to a_K, evenly spaced in their logarithm from `youngest` to `oldest`, per matrix:

    M_k <- b_k M_k + (1 - b_k) G,   b_k = a_k / (1 + a_k)
    u = (1 - mu) G + mu sum_k w_k M_k           what Muon orthogonalises, mu its momentum

Of the weights, w_1 to w_{K-1} are as 1 : 2 : ... : K - 1, and w_K is such that all sum to one and sum_k w_k a_k is
the mean age, which goes linearly from `age` at `start` to `last_age` at the end of the run. Until `start` Muon's own
average counts; the K begin as copies of it.

Suggested settings: the defaults, in steps, for runs of 3,125 (MuonH); 8 averages, age 58 to 26, start 0.31 for Muon.
With two averages, youngest 5.667, oldest 49 and both ages 30 it is bi-Maxwell momentum (decays 0.85 and 0.98, weights
0.4385 and 0.5615).
When it hurts / conflicts: ages are steps, so shorter runs want younger ones. K more states per weight. Under an average
of weights over the tail its authors saw no gain from shortening the memory.
Source: modded-nanogpt pull requests 357 and 359 (K = 8 and 6), 339 and 340 (bi-Maxwell).
"""

import math
from collections.abc import Generator
from typing import ClassVar, Self

import torch
from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import is_matrix
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from coregpt.api import Clock, ParamGroup, Plugin, Schedule, Span, UpdateRule, hookimpl

DIAL = "k_maxwell.age"


class KMaxwell(Plugin):
    """Goes around Muon's polar factor; adds a dial."""

    after: ClassVar[tuple[str, ...]] = (
        "aurora",
        "contra_muon",
        "dynmuon",
        "merged_qkv",
        "muon",
        "muon_eq",
        "muon_grouping",
        "muon_squared",
        "pmuon",
        "schatten_norm",
        "sink_soap",
        "soap_muon",
        "soft_muon",
        "tempered_polar",
    )
    requires: ClassVar[tuple[str, ...]] = ("muon",)

    averages: int = Field(default=6, ge=2)
    """K."""
    youngest: PositiveFloat = 3.0
    """Mean age of the first average, in steps."""
    oldest: PositiveFloat = 64.0
    """Mean age of the last average, in steps."""
    age: PositiveFloat = 50.0
    """Mean age of the mixture at `start`, in steps."""
    last_age: PositiveFloat = 22.0
    """Mean age of the mixture at the end of the run, in steps."""
    start: Span = 0.24
    """Where the mixture begins: below 1 a share of the run, from 1 on a step."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, age in (("age", self.age), ("last_age", self.last_age)):
            if not self.mean_of_all_but_the_last <= age <= self.oldest:
                least = self.mean_of_all_but_the_last
                raise ValueError(f"{name} must lie between {least:g} and {self.oldest:g}, not be {age:g}")
        return self

    @property
    def ages(self) -> list[float]:
        """a_1 to a_K."""
        ratio = self.oldest / self.youngest
        return [self.youngest * ratio ** (k / (self.averages - 1)) for k in range(self.averages)]

    @property
    def mean_of_all_but_the_last(self) -> float:
        """Mean age where the last average has no weight."""
        shares = range(1, self.averages)
        return sum(share * age for share, age in zip(shares, self.ages[:-1], strict=True)) / sum(shares)

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {DIAL: self.level}

    def level(self, clock: Clock) -> float:
        """The mixture's mean age at `clock.step`; negative up to the step in which the averages are copied."""
        start = math.ceil(clock.span(self.start))
        if clock.step <= start:
            return -self.age
        return self.age + (self.last_age - self.age) * (clock.step - start) / (clock.steps - start)

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Remembering(rule, self) if is_matrix(group) else rule


class Remembering(AroundPolar):
    """Muon's rule with another memory; state (n, K, ...)."""

    def __init__(self, inner: UpdateRule, options: KMaxwell):
        super().__init__(inner)
        self.options = options

    def added(self, p: Tensor) -> dict[str, Tensor]:
        return {"k_maxwell_m": p.new_zeros((p.shape[0], self.options.averages, *p.shape[1:]))}

    def polar(self, u: Tensor) -> Tensor:
        g, own, kept = self.now.g, self.now.state["m"], self.now.state["k_maxwell_m"]
        age, rest = torch.as_tensor(self.now.dials[DIAL]), [1] * g[0].dim()
        ages = g.new_tensor(self.options.ages).view(-1, *rest)
        begun = age.to(g.device) > 0
        kept.copy_(torch.where(begun, kept.lerp(g.unsqueeze(1), 1 / (1 + ages)), own.unsqueeze(1)))
        mixed = (kept * self.weights(age.abs().to(g)).view(-1, *rest)).sum(1)
        mu = self.now.dials.get("momentum", self.muon.options.momentum)
        return self.plain(torch.where(begun, g * (1 - mu) + mixed * mu, u))

    def weights(self, age: Tensor) -> Tensor:
        """w (K,) for a mean age (0-d)."""
        others, oldest = self.options.mean_of_all_but_the_last, self.options.oldest
        last = (age - others) / (oldest - others)
        shares = torch.arange(1, self.options.averages, dtype=age.dtype, device=age.device)
        return torch.cat(((1 - last) * shares / shares.sum(), last.view(1)))
