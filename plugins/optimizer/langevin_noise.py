"""Add noise to the updates of matrices in the first quarter of a run, in proportion to each row's size.

With U the update, RMS_row(U) the root mean square of each of its rows and n normal numbers of its shape:

    U <- U + sigma RMS_row(U) n

sigma rises from 0 to `sigma` in the first `rise` of the run and falls to 0 by `end`, both linearly. The numbers depend
on the run's seed, the matrix and the step, so they are the same on any number of ranks.

Suggested settings: sigma 0.1, a rise of 50 steps, end 0.25.
When it hurts / conflicts: it was proposed and not taken into a record: nobody has shown that it helps. Decay rules that
look at the sign of an update see the noisy one (the source leaves that open).
Source: a proposal to modded-nanogpt of June 2026, whose other half became record 87.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from coregpt_plugins._shared.matrices import is_matrix
from coregpt_plugins._shared.normal import normals
from coregpt_plugins._shared.ramps import risen
from pydantic import NonNegativeFloat
from torch import Tensor

from coregpt.api import Clock, Dials, Noise, ParamGroup, Plugin, Schedule, Span, UpdateRule, hookimpl

DIAL = "langevin_noise.sigma"


class LangevinNoise(Plugin):
    """Wraps the updates of matrices; adds a dial."""

    after: ClassVar[tuple[str, ...]] = ("cautious_adam", "muon", "normuon")
    neutral: ClassVar[dict[str, Any] | None] = {"sigma": 0.0}

    sigma: NonNegativeFloat = 0.1
    """Largest standard deviation, as a share of the row's root mean square."""
    rise: Span = 50
    """Where it is reached: below 1 a share of the run, from 1 on a step."""
    end: Span = 0.25
    """Where the noise ends: below 1 a share of the run, from 1 on a step."""

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule] | None:
        return {DIAL: self.level} if self.sigma else None

    def level(self, clock: Clock) -> float:
        """The noise of `clock.step`."""
        return self.sigma * min(risen(clock, 0, self.rise), 1 - risen(clock, self.rise, self.end))

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        noise = Noise.of(group.seed, f"langevin_noise/{group.paths[0]}")
        return Shaken(rule, noise) if self.sigma and is_matrix(group) else rule


class Shaken:
    """The update rule `inner` and the noise."""

    def __init__(self, inner: UpdateRule, noise: Noise):
        self.inner, self.noise = inner, noise
        self.lr, self.weight_decay = inner.lr, inner.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        update = self.inner.direction(p, g, state, dials)
        size = update.square().mean(-1, keepdim=True).sqrt() * dials[DIAL]
        return update + size * normals(self.noise, dials, update)[0]
