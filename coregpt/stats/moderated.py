"""Variance borrowed from earlier arms of the same setup, so that three or four seeds can be tested.

Source: Smyth 2004 (empirical Bayes moderated t).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import Contrast, contrast

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class VariancePrior:
    """What a history says about the variance: `df` (may be infinite) observations' worth of `variance`.

    `history_df` is what the history itself holds; a test never borrows more than that.
    """

    df: float
    variance: float
    history_df: float

    def blend(self, variance: float, df: float) -> tuple[float, float]:
        """(moderated variance, its degrees of freedom) for an own variance with `df` degrees of freedom."""
        borrowed = min(self.df, self.history_df)
        return (borrowed * self.variance + df * variance) / (borrowed + df), borrowed + df


def variance_prior(variances: Sequence[float], dfs: Sequence[float]) -> VariancePrior:
    """Fit the prior to the sample variances (each > 0) and degrees of freedom of at least two earlier arms."""
    s2, df = np.asarray(variances, dtype=np.float64), np.asarray(dfs, dtype=np.float64)
    if len(s2) < 2 or len(s2) != len(df) or not (np.all(s2 > 0) and np.all(df > 0)):
        raise ConfigError("history: expected at least 2 arms, each with a variance and degrees of freedom above 0")
    e = np.log(s2) - special.digamma(df / 2) + np.log(df / 2)
    excess = float(e.var(ddof=1) - special.polygamma(1, df / 2).mean())
    d0 = 2 * _inverse_trigamma(excess) if excess > 0 else np.inf
    shift = 0.0 if np.isinf(d0) else float(special.digamma(d0 / 2) - np.log(d0 / 2))
    return VariancePrior(float(d0), float(np.exp(e.mean() + shift)), float(df.sum()))


def moderated_paired_t(baseline: Vector, arm: Vector, prior: VariancePrior) -> Contrast:
    """Paired t-test with a prior on the variance of a paired difference; both arrays (n,), n >= 2."""
    d = baseline - arm
    variance, df = prior.blend(float(d.var(ddof=1)), len(d) - 1)
    return contrast(float(d.mean()), float(np.sqrt(variance / len(d))), df)


def moderated_two_sample_t(baseline: Vector, arm: Vector, prior: VariancePrior) -> Contrast:
    """Unpaired t-test, equal variances, with a prior on the variance of one run."""
    n, m = len(baseline), len(arm)
    pooled = ((n - 1) * baseline.var(ddof=1) + (m - 1) * arm.var(ddof=1)) / (n + m - 2)
    variance, df = prior.blend(float(pooled), n + m - 2)
    return contrast(float(baseline.mean() - arm.mean()), float(np.sqrt(variance * (1 / n + 1 / m))), df)


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value > 0."""
    # 1/x < trigamma(x) < 1/x + 1/x^2 for x > 0, which brackets the root.
    low, high = 1 / value, 1 / value + 1 / np.sqrt(value) + 1
    return float(optimize.brentq(lambda x: float(special.polygamma(1, x)) - value, low * (1 - 1e-9), high, xtol=1e-12))
