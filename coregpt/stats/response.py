"""Where a loss over learning rates is lowest, how surely, and what a test must allow for it.

A parabola over log2 of the learning rate, by least squares on the rates within an octave of the best; a cubic where
the parabola does not fit. With x the place of its minimum, missing the true one by e costs about q''/2 e^2, so on
average u = q''/2 Var(x), the variance of x by the delta method. The allowance of two arms, 8 (u_A^2 + u_B^2), exceeds
the mean squares of both losses (3 u^2 each): u is estimated too, and a cubic that only fits noise loses more than it
says. A curve that the losses miss by more than their noise is not theirs, and says too little about the minimum: its
covariance grows by the ratio of the two (Birge 1932), without which equal arms on steep sides of their curves differ
too often. `calibration.bracket` holds the whole to its promise, `benchmarks/tuning_rules.py` measures the rules.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.stats.bracket import HALF, Edge, Tried, best_rate, cliff, edge, mean_loss

Vector = NDArray[np.float64]
Interval = tuple[float, float]
Kind = Literal["parabola", "cubic", "best point"]

WINDOW = 1.0
"""Octaves around the best rate whose losses are fitted."""
LACK_OF_FIT = 0.2
MIN_POINTS = 3
SQUARES = 8.0
"""Of each arm's u in the allowance."""


@dataclass(frozen=True)
class Residual:
    """Variance of one tuning run apart from its seed's and its rate's part, and its degrees of freedom."""

    variance: float
    df: float


@dataclass(frozen=True)
class Response:
    """What the tuning runs of one arm say. Rates are in octaves from the declared one."""

    optimum: float | None
    """The rate to test at; None if every rate diverged."""
    kind: Kind
    minimum: float | None
    """Of the fit, wherever it lies; the optimum is kept near the best rate tried. None where the best rate is taken."""
    interval: Interval | None
    """95% interval of the minimum."""
    curvature: float | None
    """Second derivative at the minimum, in units of the loss per square octave."""
    expected_loss: float | None
    """curvature / 2 times the variance of the minimum, before its bound (`mistuning`)."""
    edge: Edge
    cliff: float | None
    """The lowest rate above the best at which a tuning run diverged."""
    tuned: bool
    why_not: str
    """Empty if tuned."""
    seeds: int
    """Tuning seeds per rate."""
    coefficients: tuple[float, ...] = ()
    """Of the fitted curve in powers of the rate, the constant first; empty without one."""

    def at(self, x: Vector) -> Vector:
        """The fitted curve at rates x."""
        return np.polynomial.polynomial.polyval(x, np.array(self.coefficients))


@dataclass(frozen=True)
class _Curve:
    """Coefficients by rising power of (rate - centre), and their covariance."""

    coefficients: Vector
    covariance: NDArray[np.float64]
    misfit: float
    """Sum of squares of the mean losses about it; the covariance is scaled up where noise does not explain it."""

    def minimum(self) -> tuple[float, float] | None:
        """Distance of the local minimum from the centre, and the second derivative there (above 0)."""
        _, b, c, *higher = self.coefficients
        d = higher[0] if higher else 0.0
        inside = 4 * c * c - 12 * b * d
        if inside <= 0 or (d == 0 and c <= 0):
            return None
        root = math.sqrt(inside)  # of the two places with slope 0, the second derivative is +root at the minimum
        return float(-2 * b / (2 * c + root) if c > 0 else (root - 2 * c) / (6 * d)), root


def fitted(tried: Tried) -> list[float]:
    """The rates whose losses are fitted: within an octave of the best, no run diverged."""
    best = best_rate(tried)
    return sorted(x for x in tried if abs(x - best) <= WINDOW and math.isfinite(mean_loss(tried[x])))


def residual(arms: Sequence[Tried]) -> Residual:
    """Pooled over the tuning runs of all arms that are fitted; within each arm, rate and seed are blocks.

    Every rate of an arm has the same seeds in the same order, at least two. Rates with a diverged run are left out, and
    those more than an octave from the best: far above it runs are much noisier, which says nothing about the fit.
    """
    squares, df = 0.0, 0
    for tried in arms:
        y = np.array([tried[x] for x in fitted(tried)])
        if len(y) < 2:
            continue
        e = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
        squares += float((e**2).sum())
        df += (y.shape[0] - 1) * (y.shape[1] - 1)
    return Residual(squares / df if df else math.nan, df)


def fit(tried: Tried, noise: Residual) -> Response:
    """The response of one arm whose walk (`bracket.next_rates`) has ended; `noise` is pooled over the arms.

    An arm with too few finished rates is not tuned, whatever the noise; otherwise `noise.df` must be at least 1.
    """
    best, at_edge = best_rate(tried), edge(tried)
    seeds = len(tried[best])
    points = fitted(tried)
    fall, why = cliff(tried), _why_not(at_edge, len(points))
    if why:
        found = best if math.isfinite(mean_loss(tried[best])) else None
        return Response(found, "best point", None, None, None, None, at_edge, fall, False, why, seeds)
    if noise.df < 1:
        raise ValueError("the noise of tuning runs is not known: at least 2 tuning seeds and 2 rates are needed")
    x = np.array(points) - best
    y = np.array([mean_loss(tried[point]) for point in points])
    kind, curve = _choose(x, y, noise, seeds)
    lowest = curve.minimum()
    if lowest is None:
        return Response(best, "best point", None, None, None, None, at_edge, fall, True, "", seeds)
    offset, curvature = lowest
    high = HALF if fall is None else min(HALF, (fall - best) / 2)
    gradient = np.array([0.0, 1.0, 2 * offset, 3 * offset**2][: len(curve.coefficients)])
    spread = float(gradient @ curve.covariance @ gradient)  # variance of the slope at the minimum
    half = float(stats.t.isf(0.025, noise.df)) * math.sqrt(spread) / curvature
    return Response(
        optimum=best + min(max(offset, -HALF), high),
        kind=kind,
        minimum=best + offset,
        interval=(best + offset - half, best + offset + half),
        curvature=curvature,
        expected_loss=spread / (2 * curvature),
        edge=at_edge,
        cliff=fall,
        tuned=True,
        why_not="",
        seeds=seeds,
        coefficients=_shifted(curve.coefficients, best),
    )


def mistuning(response: Response, difference_variance: float) -> float:
    """u: the loss expected from the rate's being estimated, at most one standard error of the mean tuning run.

    `difference_variance` is that of a paired difference of test runs, known after the test; half of it is one run's.
    """
    most = math.sqrt(difference_variance / 2 / response.seeds)
    return most if response.expected_loss is None else min(response.expected_loss, most)


def allowance(u_a: float, u_b: float) -> float:
    """Variance to add to that of a difference of two arms (`contrasts.with_allowance`)."""
    return SQUARES * (u_a**2 + u_b**2)


def _why_not(at_edge: Edge, points: int) -> str:
    if points == 0:
        return "every rate tried had a run that diverged"
    if at_edge != "none":
        end = "lowest" if at_edge == "low" else "highest"
        return f"the best value is the {end} one tried, so the optimum may lie beyond it"
    if points < MIN_POINTS:
        return f"{points} of the values around the best have a loss, at least {MIN_POINTS} are needed"
    return ""


def _choose(x: Vector, y: Vector, noise: Residual, seeds: int) -> tuple[Kind, _Curve]:
    """A parabola, or a cubic if it misses the means by more than noise explains."""
    variance = noise.variance / seeds
    parabola = _least_squares(x, y, 2, variance)
    left = len(x) - 3
    if left and parabola.misfit > left * variance * float(stats.f.isf(LACK_OF_FIT, left, noise.df)):
        return "cubic", _least_squares(x, y, 3, variance)
    return "parabola", parabola


def _least_squares(x: Vector, y: Vector, degree: int, variance: float) -> _Curve:
    powers = np.vander(x, degree + 1, increasing=True)
    inverse = np.linalg.pinv(powers)
    coefficients = inverse @ y
    misfit = float(((y - powers @ coefficients) ** 2).sum())
    left = len(x) - degree - 1
    if left:
        variance = max(variance, misfit / left)
    return _Curve(coefficients, variance * inverse @ inverse.T, misfit)


def _shifted(coefficients: Vector, centre: float) -> tuple[float, ...]:
    """The same curve in powers of the rate itself."""
    shifted = np.polynomial.Polynomial(coefficients)(np.polynomial.Polynomial([-centre, 1.0]))
    return tuple(float(c) for c in shifted.coef)
