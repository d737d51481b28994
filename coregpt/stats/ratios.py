"""Intervals for speed-ups and other ratios. Sources: Student's t on logarithms; Fieller 1954."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import paired_t, t_interval, welch
from coregpt.stats.distributions import t_level

Vector = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Ratio:
    """A ratio baseline / arm (above 1: the arm needs less); `p` is two-sided against 1."""

    value: float
    interval: Interval
    p: float


def log_ratio(baseline: Vector, arm: Vector, confidence: float = 0.95, *, paired: bool = True) -> Ratio:
    """Geometric-mean ratio baseline / arm of positive times or steps, t interval on the log scale."""
    if not (np.all(baseline > 0) and np.all(arm > 0)):
        raise ConfigError("a ratio needs times, steps or costs above 0")
    found = (paired_t if paired else welch)(np.log(baseline), np.log(arm))
    low, high = t_interval(found, confidence)
    return Ratio(float(np.exp(found.gain)), (float(np.exp(low)), float(np.exp(high))), found.p)


def fieller(
    a: float, b: float, var_a: float, var_b: float, cov: float, df: float, confidence: float = 0.95
) -> Interval | None:
    """Interval for a / b from two estimates with their variances and covariance.

    None if b is not clearly different from 0, in which case no finite interval exists.
    """
    t = t_level((1 - confidence) / 2, df)
    if b == 0 or t * t * var_b >= b * b:
        return None
    # Roots of (a - r b)^2 = t^2 (var_a - 2 r cov + r^2 var_b).
    square, cross, constant = b * b - t * t * var_b, a * b - t * t * cov, a * a - t * t * var_a
    root = float(np.sqrt(max(0.0, cross * cross - square * constant)))
    return (cross - root) / square, (cross + root) / square
