"""Coverage of intervals."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from coregpt.stats.bootstrap import bca_interval
from coregpt.stats.calibration import batch
from coregpt.stats.calibration.batch import Flags
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rates import ALPHA
from coregpt.stats.calibration.rows import Kind, Row, of_flags
from coregpt.stats.distributions import dunnett_critical
from coregpt.stats.looks.anytime import confidence_sequence
from coregpt.stats.ratios import fieller, log_ratio

BCA_COVERAGE = 0.92
"""What the bootstrap interval promises at 20 runs; 95% is reached only with many more."""


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """One row per interval, `r` studies each; fewer where each study takes a call of its own."""
    for n in (3, 5, 10, 20):
        d = batch.difference(noise.study(r, 2, n))
        half = stats.t.isf(0.025, n - 1) * d.std(1, ddof=1) / np.sqrt(n)
        inside: Flags = np.asarray(np.abs(d.mean(1)) <= half)
        yield of_flags(f"t interval of a paired gain, n = {n}", "coverage", noise.name, 0.95, inside)
    for n in (3, 5, 10, 20):
        gain, se, _ = batch.blocked(noise.study(r, 4, n))
        inside = np.asarray((np.abs(gain) <= dunnett_critical(0.05, 3, 3 * (n - 1)) * se[:, None]).all(1))
        yield of_flags(f"simultaneous Dunnett intervals, 4 arms, n = {n}", "coverage", noise.name, 0.95, inside)
    yield _repeated("ratio of times, n = 5", "coverage", noise, 0.95, r // 4, lambda: _ratio(noise))
    yield _repeated("Fieller's ratio, n = 10", "coverage", noise, 0.95, r // 4, lambda: _fieller(noise))
    yield _repeated("BCa, n = 20", "coverage at least", noise, BCA_COVERAGE, r // 5, lambda: _bca(noise))
    any_time = "any-time interval, all of 3 to 30 pairs"
    yield _repeated(any_time, "coverage at least", noise, 1 - ALPHA, r // 8, lambda: _any_time(noise))


def _repeated(name: str, kind: Kind, noise: Noise, nominal: float, r: int, once: Callable[[], bool]) -> Row:
    return of_flags(name, kind, noise.name, nominal, np.array([once() for _ in range(r)]))


def _ratio(noise: Noise) -> bool:
    """Times that differ by 20% and vary by 5%."""
    baseline, arm = noise.study(1, 2, 5)[0]
    low, high = log_ratio(1.2 * np.exp(0.05 * baseline), np.exp(0.05 * arm)).interval
    return low <= 1.2 <= high


def _fieller(noise: Noise) -> bool:
    """Ratio of two paired mean gains, the lower one about 12 standard errors from 0."""
    n = 10
    a, b = noise.study(1, 2, n)[0] + np.array([[2.0], [4.0]])
    cov = np.cov(a, b) / n
    found = fieller(float(a.mean()), float(b.mean()), cov[0, 0], cov[1, 1], cov[0, 1], n - 1)
    return found is not None and found[0] <= 0.5 <= found[1]


def _bca(noise: Noise) -> bool:
    low, high = bca_interval(noise.draw(20))
    return low <= 0 <= high


def _any_time(noise: Noise) -> bool:
    d = batch.difference(noise.study(1, 2, 30))[0] + 1.0
    found = (confidence_sequence(d[:n], ALPHA) for n in range(3, len(d) + 1))
    return all(low <= 1.0 <= high for low, high in found)
