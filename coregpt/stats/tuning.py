"""What picking the best of k trials is worth, and how much of it is luck. Source: Dodge et al. 2019."""

from collections.abc import Sequence
from math import comb

import numpy as np
from scipy import special

from coregpt.contract.errors import ConfigError
from coregpt.stats.distributions import legendre, normal_density


def expected_best(values: Sequence[float], k: int) -> float:
    """Expected lowest value of k of the N trials drawn without replacement: unbiased in the trials."""
    n = len(values)
    if not 1 <= k <= n:
        raise ConfigError(f"expected best of k: k must lie between 1 and the {n} trials, got {k}")
    weights = [comb(n - i, k - 1) / comb(n, k) for i in range(1, n + 1)]
    return float(np.dot(sorted(values), weights)) if np.isfinite(values).all() else _with_failures(values, weights)


def expected_best_curve(values: Sequence[float]) -> list[float]:
    """`expected_best` for k = 1 .. N."""
    return [expected_best(values, k) for k in range(1, len(values) + 1)]


def best_trial(values: Sequence[Sequence[float]]) -> int:
    """Place of the trial with the lowest mean over its seeds, the first of equal ones.

    `values` has a row of final values per trial; a diverged run (inf or NaN) makes its trial the worst.
    """
    means = [float(np.mean([float("inf") if np.isnan(v) else v for v in row])) for row in values]
    return means.index(min(means))


def luck_of_best(k: int, sd: float = 1.0, n_seeds: int = 1) -> float:
    """How far the best of k equal configurations looks better than it is: sd / sqrt(n) E[max of k normals]."""
    if k < 1:
        raise ConfigError(f"k: expected a number of trials from 1 on, got {k}")
    x, w = legendre(256)
    z = 9.0 * x
    density = k * normal_density(z) * np.exp((k - 1) * special.log_ndtr(z))
    return float(9.0 * w @ (z * density) * sd / np.sqrt(n_seeds))


def _with_failures(values: Sequence[float], weights: Sequence[float]) -> float:
    """Diverged trials (inf or NaN) count as worst; the mean is infinite while one can be the best."""
    ordered = sorted(float("inf") if np.isnan(v) else v for v in values)
    return float(sum(v * w for v, w in zip(ordered, weights, strict=True) if w > 0))
