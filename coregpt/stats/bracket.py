"""Which learning rates an arm is tried at: octave steps around the declared one, then half an octave beside the best.

Rates are in octaves (factors of 2) from the declared one: -1 is half of it. `tried` maps each to the final losses of
its tuning seeds; a loss that is not finite is a diverged run and makes its rate the worst. Everything here is a
function of those results alone, so that a study that was killed goes on where it was.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np

Tried = Mapping[float, Sequence[float]]
Edge = Literal["none", "low", "high"]

FIRST = (0.0, -1.0, 1.0)
STEPS_OUT = 4
"""Octave steps beyond the first three rates, both directions together."""
HALF = 0.5


def tuning_seeds(n_test_seeds: int) -> int:
    """Tuning seeds per rate for a test of `n_test_seeds` seeds: a third of them, at least 2."""
    return max(2, round(n_test_seeds / 3))


def next_rates(tried: Tried) -> tuple[float, ...]:
    """The rates to try next; empty when the arm is bracketed, or stays at an edge after all steps."""
    missing = tuple(x for x in FIRST if x not in tried)
    if missing:
        return missing
    at_edge = edge(tried)
    if at_edge == "none":
        best = best_rate(_octaves(tried))
        return tuple(x for x in (best - HALF, best + HALF) if x not in tried)
    steps = _octaves(tried)
    if len(steps) - len(FIRST) >= STEPS_OUT:
        return ()
    return (min(steps) - 1,) if at_edge == "low" else (max(steps) + 1,)


def in_vain(untuned: Collection[str], arms: Collection[str], baseline: str) -> bool:
    """Whether no comparison of these arms has a rate on both sides."""
    return baseline in untuned or all(arm in untuned for arm in arms if arm != baseline)


def mean_loss(losses: Sequence[float]) -> float:
    """Mean over tuning seeds, infinite if one diverged."""
    return float(np.mean(losses)) if len(losses) and all(map(math.isfinite, losses)) else math.inf


def best_rate(tried: Tried) -> float:
    """The rate with the lowest mean loss; the lowest of equal ones, which is farthest from divergence."""
    return min(sorted(tried), key=lambda x: mean_loss(tried[x]))


def edge(tried: Tried) -> Edge:
    """On which end of the octave steps tried the best of them lies."""
    steps = _octaves(tried)
    best = best_rate(steps)
    return "low" if best == min(steps) else "high" if best == max(steps) else "none"


def cliff(tried: Tried) -> float | None:
    """The lowest rate above the best at which any tuning seed diverged."""
    best = best_rate(tried)
    return min((x for x in tried if x > best and math.isinf(mean_loss(tried[x]))), default=None)


def _octaves(tried: Tried) -> dict[float, Sequence[float]]:
    return {x: losses for x, losses in tried.items() if float(x).is_integer()}
