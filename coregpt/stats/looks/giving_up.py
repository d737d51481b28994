"""A screen one seed at a time: when to give an idea up, and what it has come to after its last seed.

After n of N paired gains the screen asks how likely it still is that the idea ends as a candidate, which takes
Student's t of all N above a critical value. The answer is the predictive probability under the flat prior 1 / sigma^2
on mean and variance: what comes is drawn around what is there, with the noise that is there. Given a variance
v = (n - 1) s^2 / u, u chi-squared with n - 1 degrees of freedom, the mean of the k = N - n gains to come is
m + z sqrt(v (1/n + 1/k)) and their scatter v w, w chi-squared with k - 1, so the last t exceeds c if m / s exceeds

    c sqrt(S / (N - 1) / N) - (k / N) z sqrt(v (1/n + 1/k)),  S = (n - 1) + v w + v z^2,  all in units of s.

The chance is below `chance` where sqrt(n) m / s lies below that quantile of the right side: one limit on t for each n,
from fixed points of a Sobol sequence. Giving up can lose a candidate and never makes one, so the false ones are at most
those of the test after all seeds; what it loses is measured by `coregpt calibrate`.
Sources: Geisser & Johnson 1994 and Spiegelhalter, Freedman & Blackburn 1986 (predictive probability); Lan, Simon &
Halperin 1982 (stopping that only gives up).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import worst_rank
from coregpt.stats.distributions import t_level

Vector = NDArray[np.float64]
Step = Literal["go on", "futile", "candidate", "no sign"]

CHANCE = 0.05
"""Of ending as a candidate, below which an idea is given up."""
FIRST = 2
"""Fewer gains have no scatter."""
_POINTS = 2**13


@dataclass(frozen=True)
class Screening:
    """A screen of one idea: at most `seeds` paired gains, a candidate if better at two-sided `alpha`."""

    seeds: int
    alpha: float
    chance: float = CHANCE

    def __post_init__(self) -> None:
        if self.seeds < FIRST:
            raise ConfigError(f"a screen needs at least {FIRST} seeds, got {self.seeds}")

    @property
    def critical(self) -> float:
        """The t that makes a candidate after all seeds."""
        return t_level(self.alpha / 2, self.seeds - 1)

    def limit(self, n: int) -> float:
        """The t after n gains below which the idea is given up; minus infinity where there is no scatter yet."""
        if n < FIRST or n >= self.seeds:
            return -np.inf
        return _limit(n, self.seeds, self.critical, self.chance)


class Ends(NamedTuple):
    """How screens ended, each (screens,): gains used, and whether as a candidate; else given up, or without a sign."""

    seeds: NDArray[np.int64]
    candidate: NDArray[np.bool_]


def decide(rule: Screening, d: Vector) -> Step:
    """What to do after the gains `d` (n,), n from 0 to all seeds: baseline minus arm, above 0 is better.

    Where the arm's run diverged its gain is -inf, where the baseline's did inf, NaN where both did: then ranks decide.
    """
    n = len(d)
    if n > rule.seeds:
        raise ConfigError(f"a screen of {rule.seeds} seeds has no {n}th")
    if not np.isfinite(d).all():
        return _by_rank(rule, d)
    return _steps(rule, d[None])[0] if n >= FIRST else "go on"


def replay(rule: Screening, d: Vector) -> tuple[int, Step]:
    """After how many of the gains so far (n,) it was decided, and how; all of them and "go on" if it is not."""
    for n in range(len(d) + 1):
        step = decide(rule, d[:n])
        if step != "go on":
            return n, step
    return len(d), "go on"


def ends(rule: Screening, d: Vector) -> Ends:
    """`replay` for many screens at once: finite gains (screens, seeds)."""
    used, going, found = np.zeros(len(d), dtype=np.int64), np.ones(len(d), dtype=bool), np.zeros(len(d), dtype=bool)
    for n in range(FIRST, rule.seeds + 1):
        steps = np.array(_steps(rule, d[:, :n]))
        stops = going & (steps != "go on")
        used[stops], found[stops] = n, steps[stops] == "candidate"
        going &= ~stops
    return Ends(used, found)


def chance(rule: Screening, d: Vector) -> float:
    """That an idea with the finite gains `d` (n,), 2 <= n < all, ends as a candidate."""
    n, t = len(d), float(_t(d))
    return float(np.mean(_needed(n, rule.seeds, rule.critical) < t))


def _steps(rule: Screening, d: Vector) -> list[Step]:
    """Of screens with the finite gains (screens, n) so far, n from 2 on."""
    t, n = _t(d), d.shape[1]
    words: tuple[Step, Step] = ("no sign", "candidate") if n == rule.seeds else ("futile", "go on")
    above = t > rule.critical if n == rule.seeds else t >= rule.limit(n)
    return [words[int(each)] for each in above]


def _t(d: Vector) -> Vector:
    """Student's t over the last axis; gains without any scatter are certain."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t: Vector = d.mean(-1) / (d.std(-1, ddof=1) / np.sqrt(d.shape[-1]))
    return np.asarray(np.where(np.isnan(t), 0.0, t))


def _by_rank(rule: Screening, d: Vector) -> Step:
    """With a diverged run the last test is by ranks: go on only while the best that may come would pass it."""
    left = rule.seeds - len(d)
    known = np.where(np.isnan(d), 0.0, d)
    best = np.concatenate([known, np.full(left, np.finfo(np.float64).max)])
    direction, p = worst_rank(best, np.zeros(rule.seeds), paired=True)
    passes = direction > 0 and p < rule.alpha
    if left:
        return "go on" if passes else "futile"
    return "candidate" if passes else "no sign"


@lru_cache(maxsize=256)
def _limit(n: int, seeds: int, critical: float, chance: float) -> float:
    return float(np.quantile(_needed(n, seeds, critical), chance))


@lru_cache(maxsize=64)
def _needed(n: int, seeds: int, critical: float) -> Vector:
    """The t after n gains that would do for what comes, at every point of what may come."""
    k = seeds - n
    u = np.asarray(stats.qmc.Sobol(3, scramble=False).random(_POINTS)) + 0.5 / _POINTS
    v = (n - 1) / (2 * special.gammaincinv((n - 1) / 2, u[:, 0]))
    z = special.ndtri(u[:, 1])
    w = 2 * special.gammaincinv((k - 1) / 2, u[:, 2]) if k > 1 else np.zeros(_POINTS)
    scatter = (n - 1) + v * w + v * z**2
    needed: Vector = critical * np.sqrt(scatter / (seeds - 1) / seeds) - k / seeds * z * np.sqrt(v * (1 / n + 1 / k))
    return needed * np.sqrt(n)
