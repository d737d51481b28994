"""How large a gain is against seed noise, and what pairing runs by seed bought. Arrays in, dataclasses out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Pairing:
    """Correlation of arm and baseline over seeds, its 95% interval, and the unpaired seeds one pair is worth."""

    correlation: float
    interval: tuple[float, float] | None
    worth: float


def hedges_g(baseline: Vector, arm: Vector) -> float | None:
    """Gain in units of one arm's seed standard deviation, corrected for small samples; None without noise."""
    variance = (baseline.var(ddof=1) + arm.var(ddof=1)) / 2
    if not variance > 0:
        return None
    df = len(baseline) + len(arm) - 2
    return float((baseline.mean() - arm.mean()) / np.sqrt(variance) * (1 - 3 / (4 * df - 1)))


def pairing(baseline: Vector, arm: Vector) -> Pairing | None:
    """What sharing seeds bought: `worth` is the variance of the unpaired over that of the paired difference."""
    paired_variance = (baseline - arm).var(ddof=1)
    if len(baseline) < 3 or not min(baseline.var(), arm.var(), paired_variance) > 0:
        return None
    r = float(np.clip(np.corrcoef(baseline, arm)[0, 1], -1.0, 1.0))
    worth = float((baseline.var(ddof=1) + arm.var(ddof=1)) / paired_variance)
    return Pairing(r, _fisher_interval(r, len(baseline)), worth)


def _fisher_interval(r: float, n: int) -> tuple[float, float] | None:
    if n < 4 or abs(r) >= 1:
        return None
    half = 1.959963984540054 / np.sqrt(n - 3)
    return float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half))
