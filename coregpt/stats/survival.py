"""Steps (or tokens, seconds, FLOPs) to a target loss, with runs that never get there kept as censored.

Sources: Kaplan & Meier 1958; Mantel 1966 (log-rank); Fisher 1935 (labels); Royston & Parmar 2013 (restricted mean).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import Contrast, paired_t

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SPLITS = 20_000  # as many ways to label the runs are all tried; of more, this many are drawn


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
    """Mantel's test of equal time to target: `p` is two-sided, the share of relabellings with a `chi2` as large."""

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


def log_rank(times_a: Vector, reached_a: Flags, times_b: Vector, reached_b: Flags, *, paired: bool = False) -> LogRank:
    """Two-sided log-rank test by permutation; p is 1 if nothing can be compared.

    Independent arms exchange runs freely; `paired` ones only within a seed, in the same order in both arms.
    Exact up to 20,000 relabellings, else from a fixed sample of that size that counts the actual labels too.
    """
    times, reached = np.concatenate([times_a, times_b]), np.concatenate([reached_a, reached_b])
    in_a = np.arange(len(times)) < len(times_a)
    chi2 = float(_mantel(in_a[None, :], times, reached)[0])
    labels, exact = _swaps(len(times_a)) if paired else _splits(len(times_a), len(times_b))
    as_large = int(np.sum(_mantel(labels, times, reached) >= chi2 * (1 - 1e-10)))
    return LogRank(chi2, as_large / len(labels) if exact else (as_large + 1) / (len(labels) + 1))


def _mantel(in_a: Flags, times: Vector, reached: Flags) -> Vector:
    """Mantel's chi2 for every row of labels in `in_a` (labels, runs); 0 where nothing can be compared."""
    at = np.unique(times[reached])
    at_risk = (times[:, None] >= at).astype(np.float64)
    events = (reached[:, None] & (times[:, None] == at)).astype(np.float64)
    n, d = at_risk.sum(0), events.sum(0)
    share = (in_a @ at_risk) / n
    excess = (in_a @ events - d * share).sum(1)
    variance = (share * (1 - share)) @ (d * (n - d) / np.maximum(n - 1, 1))
    chi2: Vector = np.divide(excess**2, variance, out=np.zeros(len(in_a)), where=variance > 0)
    return chi2


@lru_cache(maxsize=4)
def _splits(n_a: int, n_b: int) -> tuple[Flags, bool]:
    """Ways to choose `n_a` of all runs (labels, runs), and whether these are all of them."""
    n = n_a + n_b
    if comb(n, n_a) > _SPLITS:
        order = np.random.default_rng(0).random((_SPLITS, n)).argsort(1)
        return order < n_a, False
    chosen = np.array(list(combinations(range(n), n_a)))
    labels = np.zeros((len(chosen), n), dtype=bool)
    np.put_along_axis(labels, chosen, True, axis=1)
    return labels, True


@lru_cache(maxsize=4)
def _swaps(n: int) -> tuple[Flags, bool]:
    """Ways to swap the two runs of each of `n` seeds, and whether these are all of them."""
    exact = 2**n <= _SPLITS
    if exact:
        first = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)
    else:
        first = np.random.default_rng(0).random((_SPLITS, n)) < 0.5
    return np.concatenate([first, ~first], axis=1), exact


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
