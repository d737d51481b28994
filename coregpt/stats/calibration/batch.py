"""Procedures for many studies at once: the same decisions as the ones a study gets, vectorised over the first axis."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.stats.distributions import dunnett_critical
from coregpt.stats.looks.anytime import e_value_of_t
from coregpt.stats.looks.sequential import Looks

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def difference(y: Array) -> Array:
    """Paired gains (studies, n) of arm 1 over arm 0."""
    return y[:, 0] - y[:, 1]


def shift(arms: int, effect: float) -> Array:
    """Makes arm 1 better by `effect`."""
    found = np.zeros((1, arms, 1))
    found[0, 1] = -effect
    return found


def t_of(d: Array) -> Array:
    """Student's t of the last axis; resampling may draw one value n times, which has no spread."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t: Array = d.mean(-1) / (d.std(-1, ddof=1) / np.sqrt(d.shape[-1]))
    return t


def t_p(d: Array) -> Array:
    """Two-sided p of Student's t-test."""
    p: Array = 2 * stats.t.sf(np.abs(t_of(d)), d.shape[-1] - 1)
    return p


def paired_p(y: Array) -> Array:
    """Paired t-test of arms 0 and 1."""
    return t_p(difference(y))


def welch_p(x: Array, y: Array) -> Array:
    """Welch's t-test with equally many runs."""
    n = x.shape[1]
    vx, vy = x.var(1, ddof=1) / n, y.var(1, ddof=1) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        t, df = (x.mean(1) - y.mean(1)) / np.sqrt(vx + vy), (n - 1) * (vx + vy) ** 2 / (vx**2 + vy**2)
    p: Array = 2 * stats.t.sf(np.abs(t), df)
    return p


def blocked(y: Array) -> tuple[Array, Array, int]:
    """Gains (studies, treatments), their standard error (studies,) and degrees of freedom."""
    _, arms, n = y.shape
    e = y - y.mean(2, keepdims=True) - y.mean(1, keepdims=True) + y.mean((1, 2), keepdims=True)
    df = (arms - 1) * (n - 1)
    means = y.mean(2)
    return means[:, :1] - means[:, 1:], np.sqrt(2 * (e**2).sum((1, 2)) / df / n), df


def dunnett_rejects(y: Array, alpha: float) -> Flags:
    """Which treatments (studies, treatments) differ from arm 0."""
    gain, se, df = blocked(y)
    rejects: Flags = np.abs(gain) / se[:, None] > dunnett_critical(alpha, y.shape[1] - 1, df)
    return rejects


def sign_flip_p(d: Array) -> Array:
    """Exact two-sided p over all signs."""
    n = d.shape[1]
    signs = 1.0 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    p: Array = np.mean(np.abs(d @ signs.T) >= np.abs(d.sum(1))[:, None] - 1e-10 * np.abs(d).sum(1)[:, None], axis=1)
    return p


class Ends(NamedTuple):
    """How looks ended: pairs used, whether the plan rejected, the sign of that gain, whether it gave up early."""

    pairs: NDArray[np.int64]
    rejected: Flags
    sign: Array
    futile: Flags


def looks(d: Array, plan: Looks) -> Ends:
    """Look at gains (studies, n) as `sequential.look` does, stopping where it stops."""
    going = np.ones(len(d), dtype=bool)
    ends = Ends(np.full(len(d), plan.sizes[-1]), ~going, np.zeros(len(d)), ~going)
    sums, squares = np.cumsum(d, 1), np.cumsum(d**2, 1)
    for k, (n, bound) in enumerate(zip(plan.sizes, plan.boundaries, strict=True)):
        mean = sums[:, n - 1] / n
        se = np.sqrt(np.maximum(squares[:, n - 1] - n * mean**2, 0) / (n - 1) / n)
        stops = going & (np.abs(mean) > bound * se)
        ends.rejected[stops] = True
        ends.sign[stops] = np.sign(mean[stops])
        if plan.gain is not None and plan.futility is not None and k + 1 < len(plan.sizes):
            gives_up = going & ~stops & (mean - plan.gain < -plan.futility[k] * se)
            ends.futile[gives_up] = True
            stops |= gives_up
        ends.pairs[stops] = n
        going &= ~stops
    return ends


def e_value_crosses(d: Array, alpha: float) -> Flags:
    """Whether the e-value ever reaches 1 / alpha, from 3 pairs on."""
    n = np.arange(1, d.shape[1] + 1, dtype=np.float64)
    mean, square = np.cumsum(d, 1) / n, np.cumsum(d**2, 1)
    variance = (square - n * mean**2)[:, 2:] / (n[2:] - 1)
    t = mean[:, 2:] * np.sqrt(n[2:] / variance)
    return np.asarray((e_value_of_t(t, n[2:]) >= 1 / alpha).any(1))
