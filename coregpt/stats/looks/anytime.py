"""A test that may be looked at after every seed: an e-value for paired gains of unknown variance.

Under no effect the e-value is a martingale, so it ever reaches 1 / alpha with probability at most alpha.
Sources: Goenen, Johnson, Lu & Westfall 2005 (Bayes factor); Wang & Ramdas 2024; Howard et al. 2021.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coregpt.contract.errors import ConfigError

Vector = NDArray[np.float64]


def e_value_of_t(t: ArrayLike, n: ArrayLike, g: float = 1.0) -> Vector:
    """E-value of a one-sample t statistic from n observations; prior N(0, g) on gain / sd. Broadcasts."""
    t, n = np.asarray(t, dtype=np.float64), np.asarray(n, dtype=np.float64)
    square, shrink = t**2 / (n - 1), 1 + n * g
    log = -0.5 * np.log(shrink) + n / 2 * (np.log1p(square) - np.log1p(square / shrink))
    with np.errstate(over="ignore"):
        value: Vector = np.exp(log)
    return value


def e_value(d: Vector, g: float = 1.0) -> float:
    """E-value of the paired gains d (n,), n >= 2, against a mean of 0; reject at 1 / alpha.

    Gains without any spread give the limit for t to infinity, or no evidence if they are all 0.
    """
    n = _checked(d, g)
    sd = float(d.std(ddof=1))
    if sd == 0:
        return float((1 + n * g) ** ((n - 1) / 2)) if d.mean() else float((1 + n * g) ** -0.5)
    return float(e_value_of_t(d.mean() / sd * np.sqrt(n), n, g))


def confidence_sequence(d: Vector, alpha: float, g: float = 1.0) -> tuple[float, float]:
    """Interval that covers the mean at every n at once with probability 1 - alpha; infinite while n is small."""
    n = _checked(d, g)
    shrink = 1 + n * g
    a = (shrink / alpha**2) ** (1 / n)
    if a >= shrink:
        return -np.inf, np.inf
    half = float(d.std(ddof=1) * np.sqrt((n - 1) * (a - 1) / (1 - a / shrink) / n))
    return float(d.mean()) - half, float(d.mean()) + half


def _checked(d: Vector, g: float) -> int:
    if len(d) < 2:
        raise ConfigError(f"an e-value needs at least 2 pairs of runs, got {len(d)}")
    if not g > 0:
        raise ConfigError(f"g: expected a prior variance above 0, got {g:g}")
    return len(d)
