"""Bootstrap interval of a mean, refused below 20 runs: at 5 runs a nominal 95% covers only 83%.

At 20 runs 95% promises a coverage of 92% at least, which `coregpt calibrate` measures.
Source: Efron 1987 (bias-corrected and accelerated).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.contract.errors import ConfigError

Vector = NDArray[np.float64]

MIN_RUNS = 20
RESAMPLES = 20_000


def bca_interval(values: Vector, confidence: float = 0.95, *, seed: int = 0) -> tuple[float, float]:
    """BCa interval of the mean of independent runs (n,); the resamples follow from `seed`."""
    n = len(values)
    if n < MIN_RUNS:
        raise ConfigError(f"a bootstrap interval needs at least {MIN_RUNS} runs, got {n}; use the t interval")
    mean = float(values.mean())
    centred = values - mean
    if not np.any(centred):
        return mean, mean
    rng = np.random.default_rng(seed)
    means = np.sort(centred[rng.integers(0, n, (RESAMPLES, n))].mean(1))
    tied = np.abs(means) <= 1e-12 * float(np.abs(centred).max())
    bias = float(stats.norm.ppf((np.sum((means < 0) & ~tied) + 0.5 * np.sum(tied)) / RESAMPLES))
    # For a mean the jackknife influence of a run is its deviation.
    acceleration = float(np.sum(centred**3) / (6 * np.sum(centred**2) ** 1.5))
    z = bias + stats.norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    levels = stats.norm.cdf(bias + z / (1 - acceleration * z))
    low, high = np.quantile(means, levels)
    return mean + float(low), mean + float(high)
