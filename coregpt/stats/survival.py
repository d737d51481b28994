"""Steps (or tokens, seconds, FLOPs) to a target loss, with runs that never get there kept as censored.

Sources: Kaplan & Meier 1958; Mantel 1966 (log-rank); Royston & Parmar 2013 (restricted mean time).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import Contrast, paired_t

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Crossing:
    """When a run first met the target; if `reached` is False, `at` is where it stopped (censored)."""

    at: float
    reached: bool


@dataclass(frozen=True)
class SurvivalCurve:
    """Share of runs still above the target: steps down to `share` at each of `times`, 1 before the first."""

    times: Vector
    share: Vector


@dataclass(frozen=True)
class LogRank:
    """Mantel's test of equal time to target; `p` is two-sided."""

    chi2: float
    p: float


def first_crossing(x: Vector, value: Vector, target: float) -> Crossing:
    """First x at which the curve is at or below `target`, linear between evaluations; nothing is smoothed.

    `x` (n,) rises. A diverged tail (NaN or inf) never counts as below, and is not interpolated into.
    """
    below = np.flatnonzero(value <= target)
    if not len(below):
        return Crossing(float(x[-1]), False)
    i = int(below[0])
    if i == 0 or not np.isfinite(value[i - 1]):
        return Crossing(float(x[i]), True)
    part = (value[i - 1] - target) / (value[i - 1] - value[i])
    return Crossing(float(x[i - 1] + part * (x[i] - x[i - 1])), True)


def kaplan_meier(times: Vector, reached: Flags) -> SurvivalCurve:
    """Product-limit estimate; runs censored at a time count as still at risk there."""
    at = np.unique(times[reached])
    events = np.array([np.sum(reached & (times == t)) for t in at], dtype=np.float64)
    at_risk = np.array([np.sum(times >= t) for t in at], dtype=np.float64)
    share = np.cumprod(1 - events / at_risk, dtype=np.float64)
    return SurvivalCurve(at, share)


def log_rank(times_a: Vector, reached_a: Flags, times_b: Vector, reached_b: Flags) -> LogRank:
    """Two-sided log-rank test of two independent arms; p is 1 if nothing can be compared."""
    events = np.unique(np.concatenate([times_a[reached_a], times_b[reached_b]]))
    excess = variance = 0.0
    for t in events:
        n_a, n_b = np.sum(times_a >= t), np.sum(times_b >= t)
        d_a = np.sum(reached_a & (times_a == t))
        n, d = float(n_a + n_b), float(d_a + np.sum(reached_b & (times_b == t)))
        excess += d_a - d * n_a / n
        if n > 1:
            variance += n_a * n_b * d * (n - d) / (n**2 * (n - 1))
    if variance <= 0:
        return LogRank(0.0, 1.0)
    chi2 = float(excess**2 / variance)
    return LogRank(chi2, float(stats.chi2.sf(chi2, 1)))


def restricted_mean(times: Vector, reached: Flags, horizon: float) -> float:
    """Mean time to target up to `horizon`: the area under the Kaplan-Meier curve."""
    _check_horizon(times, reached, horizon)
    curve = kaplan_meier(times, reached)
    inside = curve.times < horizon
    edges = np.concatenate([[0.0], curve.times[inside], [horizon]])
    return float(np.diff(edges) @ np.concatenate([[1.0], curve.share[inside]]))


def paired_restricted_difference(
    times_baseline: Vector, reached_baseline: Flags, times_arm: Vector, reached_arm: Flags, horizon: float
) -> Contrast:
    """Paired t-test on min(time, horizon) by seed; a positive gain means the arm gets there earlier.

    No run may be censored before the horizon: its restricted time would be unknown.
    """
    for times, reached in ((times_baseline, reached_baseline), (times_arm, reached_arm)):
        if np.any(~reached & (times < horizon)):
            raise ConfigError(f"horizon {horizon:g} lies beyond a run that stopped at {times[~reached].min():g}")
    return paired_t(np.minimum(times_baseline, horizon), np.minimum(times_arm, horizon))


def _check_horizon(times: Vector, reached: Flags, horizon: float) -> None:
    last = float(times.max())
    if not horizon > 0 or (horizon > last and not reached[times == last].all()):
        raise ConfigError(f"horizon: expected a value above 0 and at most the last time {last:g}, got {horizon:g}")
