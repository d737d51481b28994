"""Many bracketed studies at once: `bracket`, `response` and the test with its allowance, vectorised over studies.

Rates are places on a grid of half octaves from -5 to 5 around the declared rate, place 10. Arrays are
(studies, arms, places, tuning seeds) or shorter; what is not tried is infinite, as what diverged.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.stats.bracket import FIRST, STEPS_OUT
from coregpt.stats.response import LACK_OF_FIT, SQUARES, WINDOW

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

GRID: Array = np.arange(-10, 11) / 2
_CENTRE = 10
_NEAR: Array = GRID[_CENTRE - 2 : _CENTRE + 3]
_BITS = 1 << np.arange(5)


class Found(NamedTuple):
    """What tuning found, each (studies, arms); rates in octaves from the declared one."""

    optimum: Array
    tuned: Flags
    loss: Array
    """`Response.expected_loss`, infinite where the best point is taken."""
    rates: Places
    """How many were tried."""
    cliff: Array
    """Infinite if none."""
    seeds: Places
    """Tuning seeds per rate, (arms,)."""


def walk(means: Array) -> Flags:
    """Which rates the walk tries: (studies, arms, places) of the mean losses on all of them."""
    tried = np.zeros(means.shape, dtype=bool)
    tried[..., [_CENTRE + round(2 * x) for x in FIRST]] = True
    for _ in range(STEPS_OUT):
        best, low, high = ends(means, tried)
        _try(tried, best - 2, best == low)
        _try(tried, best + 2, best == high)
    best, low, high = ends(means, tried)
    for step in (-1, 1):
        _try(tried, best + step, (best > low) & (best < high))
    return tried


def ends(means: Array, tried: Flags) -> tuple[Places, Places, Places]:
    """Places of the best octave step tried (the lowest of equal ones), and of the lowest and highest."""
    steps = tried & (GRID % 1 == 0)
    # Diverged counts as worst, and what was not tried as worse.
    best = np.where(steps, np.minimum(means, np.finfo(np.float64).max), np.inf).argmin(-1)
    return best, steps.argmax(-1), len(GRID) - 1 - steps[..., ::-1].argmax(-1)


def _try(tried: Flags, place: Places, where: Flags) -> None:
    place = np.clip(place, 0, len(GRID) - 1)[..., None]
    np.put_along_axis(tried, place, np.take_along_axis(tried, place, -1) | where[..., None], -1)


def residual(losses: Array, usable: Flags, seeds: Places | None = None) -> tuple[Array, Array]:
    """Variance and degrees of freedom (studies,) pooled over arms; `usable` (studies, arms, places).

    Of each arm the first `seeds` (arms,) count, all if left out.
    """
    m = np.full(losses.shape[1], losses.shape[-1]) if seeds is None else seeds
    there = usable[..., None] & _counted(losses, m)
    y = np.where(there, losses, 0.0)
    count, each = usable.sum(-1), m[:, None, None]
    own = y.sum(-1, keepdims=True) / each
    seed = y.sum(-2, keepdims=True) / np.maximum(count, 1)[..., None, None]
    e = np.where(there, y - own - seed + seed.sum(-1, keepdims=True) / each, 0.0)
    df = (np.maximum(count - 1, 0) * (m - 1)).sum(-1)
    return (e**2).sum((1, 2, 3)) / np.maximum(df, 1), df.astype(np.float64)


def _counted(losses: Array, seeds: Places) -> Flags:
    """Which runs belong to the bracket of their arm, (arms, 1, tuning seeds)."""
    return np.asarray(np.arange(losses.shape[-1]) < seeds[:, None, None])


class _Table(NamedTuple):
    """Least squares for each of the 32 sets of points among five half octaves."""

    solve: Array
    """(32, coefficients, 5)."""
    inverse: Array
    """(32, coefficients, coefficients): the covariance for a variance of 1."""


def _table(degree: int) -> _Table:
    solve = np.zeros((32, 4, 5))
    for code in range(32):
        points = (code & _BITS) > 0
        if points.sum() > 2:
            solve[code, : degree + 1, points] = np.linalg.pinv(np.vander(_NEAR[points], degree + 1, increasing=True)).T
    return _Table(solve, solve @ solve.swapaxes(1, 2))


_TABLES = {degree: _table(degree) for degree in (2, 3)}


def tune(losses: Array, seeds: Places | None = None) -> Found:
    """Walk and fit; `losses` (studies, arms, places, tuning seeds) has a loss for every rate, tried or not.

    Of each arm the first `seeds` (arms,) count, all if left out.
    """
    m = np.full(losses.shape[1], losses.shape[-1]) if seeds is None else seeds
    there = _counted(losses, m)
    whole: Flags = np.asarray((np.isfinite(losses) | ~there).all(-1))
    means = np.where(whole, np.where(whole[..., None] & there, losses, 0.0).sum(-1) / m[:, None], np.inf)
    tried = walk(means)
    usable = tried & whole
    known = np.where(usable, means, np.inf)
    best = np.where(usable.any(-1), known.argmin(-1), tried.argmax(-1))
    variance, df = residual(losses, usable & (np.abs(GRID - GRID[best][..., None]) <= WINDOW), m)
    octave, low, high = ends(means, tried)
    window = best[..., None] + np.arange(-2, 3)
    there = (window >= 0) & (window < len(GRID))
    window = np.clip(window, 0, len(GRID) - 1)
    points = there & np.take_along_axis(usable, window, -1)
    y = np.where(points, np.take_along_axis(means, window, -1), 0.0)
    offset, loss = _fit(points, y - y.max(-1, keepdims=True) * points, variance[:, None] / m, df[:, None])
    above = tried & ~whole & (np.arange(len(GRID)) > best[..., None])
    cliff = np.where(above.any(-1), GRID[above.argmax(-1)], np.inf)
    at = GRID[best]
    optimum = at + np.where(np.isfinite(loss), np.clip(offset, -0.5, np.minimum(0.5, (cliff - at) / 2)), 0.0)
    tuned = (octave > low) & (octave < high) & (points.sum(-1) > 2)
    return Found(np.where(tuned, optimum, at), tuned, np.where(tuned, loss, np.inf), tried.sum(-1), cliff, m)


def _fit(points: Flags, y: Array, variance: Array, df: Array) -> tuple[Array, Array]:
    """Distance of the minimum from the best rate and the loss expected from missing it; inf if there is no minimum."""
    beta, covariance = _curve(points, y, np.maximum(variance, np.finfo(np.float64).tiny), df)
    b, c, d = (beta[..., i] for i in (1, 2, 3))
    inside = 4 * c * c - 12 * b * d
    exists = (inside > 0) & ((d != 0) | (c > 0))
    root = np.sqrt(np.where(exists, inside, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.where(exists, np.where(c > 0, -2 * b / (2 * c + root), (root - 2 * c) / (6 * d)), 0.0)
    gradient = np.stack([np.zeros_like(offset), np.ones_like(offset), 2 * offset, 3 * offset**2], -1)
    spread = np.einsum("...i,...ij,...j->...", gradient, covariance, gradient)
    return offset, np.where(exists, spread / (2 * root), np.inf)


def _curve(points: Flags, y: Array, variance: Array, df: Array) -> tuple[Array, Array]:
    """Coefficients of the parabola or cubic, and their covariance."""
    code, left = (points * _BITS).sum(-1), points.sum(-1) - 3
    powers = np.vander(_NEAR, 4, increasing=True)
    beta = {degree: (t.solve[code] @ y[..., None])[..., 0] for degree, t in _TABLES.items()}
    misfit = {degree: (np.where(points, y - b @ powers.T, 0.0) ** 2).sum(-1) / variance for degree, b in beta.items()}
    cubic = (left > 0) & (misfit[2] > left * stats.f.isf(LACK_OF_FIT, np.maximum(left, 1), np.maximum(df, 1)))
    scale = variance * np.where(cubic, _ratio(misfit[3], left - 1), _ratio(misfit[2], left))
    chosen = cubic[..., None]
    inverse = np.where(chosen[..., None], _TABLES[3].inverse[code], _TABLES[2].inverse[code])
    return np.where(chosen, beta[3], beta[2]), inverse * scale[..., None, None]


def _ratio(misfit: Array, left: Places) -> Array:
    """By how much the losses miss the curve by more than noise."""
    return np.where(left > 0, np.maximum(1.0, misfit / np.maximum(left, 1)), 1.0)


class _Tested(NamedTuple):
    """Each (studies, arms - 1): gains over arm 0, their variance over test seeds and allowance, whether decided."""

    gain: Array
    sampling: Array
    allowance: Array
    decided: Flags


def rejects(found: Found, y: Array, alpha: float, *, allow: bool = True) -> Flags:
    """Whether any arm of a study is called different from arm 0, by single tests and Holm's first step.

    `y` (studies, arms, test seeds). A comparison with an arm that is not tuned, or with a diverged run, is not decided.
    """
    arms, n = y.shape[1:]
    test = _tested(found, y)
    se = np.sqrt(test.sampling + (test.allowance if allow else 0.0))
    hits: Flags = test.decided & (np.abs(test.gain) > stats.t.isf(alpha / 2 / (arms - 1), n - 1) * se)
    return np.asarray(hits.any(-1))


def p_values(found: Found, y: Array) -> tuple[Array, Array]:
    """Gain over arm 0 and two-sided p with the allowance, each (studies, arms - 1); p is 1 where nothing is decided."""
    test = _tested(found, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = test.gain / np.sqrt(test.sampling + test.allowance)
    p: Array = np.where(test.decided, 2 * stats.t.sf(np.abs(t), y.shape[-1] - 1), 1.0)
    return test.gain, p


def price(found: Found, y: Array) -> Array:
    """Standard error with the allowance over that without (studies, arms - 1); NaN where nothing is decided."""
    test = _tested(found, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = np.sqrt(1 + test.allowance / test.sampling)
    return np.where(test.decided, ratio, np.nan)


def _tested(found: Found, y: Array) -> _Tested:
    whole: Flags = np.asarray(np.isfinite(y).all(-1))
    y = np.where(whole[..., None], y, 0.0)
    d = y[:, :1] - y[:, 1:]
    variance = d.var(-1, ddof=1)
    bound_a, bound_b = np.sqrt(variance / 2 / found.seeds[1:]), np.sqrt(variance / 2 / found.seeds[0])
    u_a, u_b = np.minimum(found.loss[:, 1:], bound_a), np.minimum(found.loss[:, :1], bound_b)
    allowance = SQUARES * (u_a**2 + u_b**2)
    usable = found.tuned & whole
    return _Tested(d.mean(-1), variance / y.shape[-1], allowance, usable[:, :1] & usable[:, 1:])
