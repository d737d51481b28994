"""Group-sequential looks: alpha is spent over planned looks, so that looking early costs no false verdicts.

A plan's boundaries are on Student's t and exact for normal gains of any variance (`student_looks`). The functions
on the normal scale are their limit for many seeds, and what published tables hold.
Sources: Pocock 1977; O'Brien & Fleming 1979; Lan & DeMets 1983; recursion of Armitage, McPherson & Rowe 1969.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from coregpt.contract.errors import ConfigError
from coregpt.stats.design import Spending
from coregpt.stats.distributions import legendre, normal_above, normal_density, normal_level, t_above
from coregpt.stats.looks import student_looks

Vector = NDArray[np.float64]
Decision = Literal["reject", "futile", "continue", "accept"]

FIRST_LOOK = 4
"""Fewer pairs estimate the noise too poorly for a look."""
_REACH = 8.5  # standard deviations of the score kept on the open side
_ORDER = 160  # quadrature nodes per look


@dataclass(frozen=True)
class Looks:
    """Planned looks after `sizes` pairs, two-sided `alpha`; futility against a gain of `gain` if one is given."""

    sizes: tuple[int, ...]
    alpha: float
    spending: Spending = "pocock"
    gain: float | None = None
    beta: float = 0.1

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.sizes, self.sizes[1:], strict=False))
        if not self.sizes or self.sizes[0] < FIRST_LOOK or not rising:
            wanted = f"rising numbers of seeds from {FIRST_LOOK} on, such as [4, 8, 12]"
            raise ConfigError(f"looks: expected {wanted}, got {list(self.sizes)}")
        _check_level("alpha", self.alpha)
        _check_level("beta", self.beta)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Information at each look relative to the last."""
        return tuple(size / self.sizes[-1] for size in self.sizes)

    @cached_property
    def boundaries(self) -> tuple[float, ...]:
        """The |t| that rejects at each look."""
        return student_looks.boundaries(self.sizes, self._shares(self.alpha / 2, self.spending))

    @cached_property
    def futility(self) -> tuple[float, ...] | None:
        """The t below `gain` that gives up at each look; O'Brien-Fleming-type beta spending."""
        if self.gain is None:
            return None
        return student_looks.boundaries(self.sizes, self._shares(self.beta, "obrien_fleming"), sides=1)

    def _shares(self, error: float, spending: Spending) -> tuple[float, ...]:
        """What each look adds to the one-sided `error` spent."""
        total = [0.0, *(spent(fraction, error, spending) for fraction in self.fractions)]
        return tuple(after - before for before, after in pairwise(total))


@dataclass(frozen=True)
class LookResult:
    """One look. `interval` is the repeated interval, valid at every look; `p` and `level` are two-sided.

    `p` is that of the t-test at this look alone; the look rejects where it is below `level`.
    """

    decision: Decision
    n: int
    gain: float
    p: float
    level: float
    interval: tuple[float, float]


def spent(fraction: float, alpha: float, spending: Spending) -> float:
    """One-sided error spent when `fraction` (0 to 1) of the information is in; all of `alpha` at 1."""
    if spending == "pocock":
        return float(alpha * np.log1p((np.e - 1) * fraction))
    return 2 * normal_above(normal_level(alpha / 2) / math.sqrt(fraction))


def spending_boundaries(
    fractions: Sequence[float], alpha: float, spending: Spending, *, sides: Literal[1, 2] = 2
) -> tuple[float, ...]:
    """z boundary at each information fraction (rising, in (0, 1]); two-sided ones spend alpha / 2 per side."""
    return _spending_boundaries(tuple(fractions), alpha, spending, sides)


def crossing_probability(boundaries: Sequence[float], fractions: Sequence[float], *, sides: Literal[1, 2] = 2) -> float:
    """Probability under no effect that |z| (or z) exceeds its boundary at any look."""
    walk, total = _Walk(sides), 0.0
    for z, fraction in zip(boundaries, fractions, strict=True):
        total += walk.crossing(z, fraction)
        walk.step(z, fraction)
    return total * sides


def pocock_constant(looks: int, alpha: float) -> float:
    """The one two-sided |z| for all of `looks` equally spaced looks."""
    return _constant(alpha, looks, lambda c: [c] * looks)


def obrien_fleming_constant(looks: int, alpha: float) -> float:
    """The two-sided |z| at the last of `looks` equally spaced looks; at look k it is this times sqrt(looks / k)."""
    return _constant(alpha, looks, lambda c: [c * float(np.sqrt(looks / k)) for k in range(1, looks + 1)])


def look(d: Vector, plan: Looks) -> LookResult:
    """Judge the paired gains `d` (n,) so far; n must be one of the planned sizes.

    Futility is non-binding: the boundaries for rejection do not count on stopping for it.
    """
    n = len(d)
    if n not in plan.sizes:
        raise ConfigError(f"a look at {n} seeds was not planned; looks are after {list(plan.sizes)} seeds")
    k = plan.sizes.index(n)
    t, mean, se, df = plan.boundaries[k], float(d.mean()), float(d.std(ddof=1) / np.sqrt(n)), n - 1
    p = 2 * t_above(abs(mean) / se, df) if se > 0 else float(mean == 0)
    half = t * se
    level = 2 * t_above(t, df)
    decision: Decision = "continue" if k + 1 < len(plan.sizes) else "accept"
    if p < level:
        decision = "reject"
    elif plan.gain is not None and plan.futility is not None and decision == "continue":
        below = t_above((plan.gain - mean) / se, df) if se > 0 else float(mean >= plan.gain)
        decision = "futile" if below < t_above(plan.futility[k], df) else "continue"
    return LookResult(decision, n, mean, p, level, (mean - half, mean + half))


class _Walk:
    """Density of the score among paths that have crossed no boundary yet, on quadrature nodes."""

    def __init__(self, sides: int) -> None:
        self.sides, self.time = sides, 0.0
        self.nodes, self.mass = np.zeros(1), np.ones(1)

    def crossing(self, z: float, fraction: float) -> float:
        """Probability of crossing the upper boundary z at this look for the first time."""
        spread = np.sqrt(fraction - self.time)
        return float(self.mass @ special.ndtr((self.nodes - z * np.sqrt(fraction)) / spread))

    def step(self, z: float, fraction: float) -> None:
        """Go on with the paths that stayed inside."""
        root, spread = np.sqrt(fraction), np.sqrt(fraction - self.time)
        high = min(z, _REACH) * root
        low = -high if self.sides == 2 else -_REACH * root
        x, w = legendre(_ORDER)
        nodes = low + (high - low) * (x + 1) / 2
        kernel = normal_density((nodes[:, None] - self.nodes) / spread) / spread
        self.mass = (kernel @ self.mass) * w * (high - low) / 2
        self.nodes, self.time = nodes, fraction


@lru_cache(maxsize=64)
def _spending_boundaries(
    fractions: tuple[float, ...], alpha: float, spending: Spending, sides: int
) -> tuple[float, ...]:
    _check_level("alpha", alpha)
    if not fractions or any(b <= a for a, b in zip((0.0, *fractions), fractions, strict=False)) or fractions[-1] > 1:
        raise ConfigError(f"information fractions must rise within (0, 1], got {list(fractions)}")
    walk, before, found = _Walk(sides), 0.0, []
    for fraction in fractions:
        total = spent(fraction, alpha / sides, spending)
        share = total - before
        found.append(_solve(walk, fraction, share))
        walk.step(found[-1], fraction)
        before = total
    return tuple(found)


def _solve(walk: _Walk, fraction: float, share: float) -> float:
    """The boundary at which first crossings have probability `share`; beyond reach counts as never."""
    if walk.crossing(_REACH, fraction) >= share:
        return _REACH
    return float(optimize.brentq(lambda z: walk.crossing(z, fraction) - share, -1.0, _REACH, xtol=1e-10))


def _constant(alpha: float, looks: int, shape: Callable[[float], list[float]]) -> float:
    _check_level("alpha", alpha)
    fractions = [k / looks for k in range(1, looks + 1)]
    return float(optimize.brentq(lambda c: crossing_probability(shape(c), fractions) - alpha, 1.0, 6.0, xtol=1e-8))


def _check_level(name: str, value: float) -> None:
    if not 0 < value < 0.5:
        raise ConfigError(f"{name}: expected a probability between 0 and 0.5, got {value:g}")
