"""Exact boundaries for Student's t looked at repeatedly: P(first crossing at look k) is what the plan spends there.

With n normal values of mean 0, u = sum(x) / sqrt(n sum(x^2)) is the cosine between x and (1, .., 1), and
t = u sqrt((n - 1) / (1 - u^2)). The direction of x is uniform and independent of its length, so u is a Markov chain
over n whatever the variance:

    u' = sqrt(b) (sqrt(n / n') u cos(a) + sqrt(m / n') sin(a)),   n' = n + m,

with independent a (density proportional to cos(a)^(n - 1) on +-pi/2) and b ~ Beta((n + 1) / 2, (m - 1) / 2), b = 1
for m = 1. `boundaries` carries the chain from look to look by quadrature, as Armitage, McPherson & Rowe 1969 do the
normal score.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from coregpt.stats.distributions import legendre, t_level

Array = NDArray[np.float64]

_ORDER = 32  # nodes of the polynomial in u, between the boundaries
_FINE = 64  # the same where looks are fewer than 4 values apart: the chain's kernel then has kinks
_ANGLES = 48  # quadrature nodes over the angle
_NEGLIGIBLE = 1e-18  # density of the angle, relative to its peak, that is left out
_NEVER = 1e4  # a t that counts as out of reach


@lru_cache(maxsize=256)
def boundaries(sizes: tuple[int, ...], shares: tuple[float, ...], sides: Literal[1, 2] = 2) -> tuple[float, ...]:
    """The t at each of `sizes` values whose first crossing has probability `shares[k]` per side.

    `sizes` rise from at least 3. One-sided chains go on however far below; two-sided ones stop at -t as well.
    """
    gaps = [b - a for a, b in pairwise(sizes)]
    order = _ORDER if min(gaps, default=4) >= 4 else _FINE
    first = min(_NEVER, t_level(shares[0], sizes[0] - 1))
    found, walk = [first], _Walk(sizes[0], first, sides, order)
    for size, share in zip(sizes[1:], shares[1:], strict=True):
        found.append(_solve(walk, size, share))
        walk = walk.step(size, found[-1])
    return tuple(found)


def _solve(walk: "_Walk", size: int, share: float) -> float:
    def excess(log_t: float) -> float:
        return walk.crossing(size, float(np.exp(log_t))) - share

    if excess(np.log(_NEVER)) >= 0:
        return _NEVER
    return float(np.exp(optimize.brentq(excess, np.log(1e-3), np.log(_NEVER), xtol=1e-9)))


class _Walk:
    """The chain at one look, among paths that crossed nothing: `weights` @ h(`nodes`) = E[h(u); no crossing]."""

    def __init__(self, n: int, t: float, sides: int, order: int) -> None:
        self.n, self.sides, self.order = n, sides, order
        self.high = _cosine(n, t)
        self.low = -self.high if sides == 2 else -1.0
        x, w = legendre(order)
        half = (self.high - self.low) / 2
        self.nodes, w = self.low + half * (x + 1), half * w
        self.weights = w * (1 - self.nodes**2) ** ((n - 3) / 2) / special.beta(0.5, (n - 1) / 2)

    def crossing(self, size: int, t: float) -> float:
        """Probability that the upper boundary t at `size` values is the first to be crossed."""
        return float(self.above(size, np.array([_cosine(size, t)]))[0])

    def above(self, size: int, c: Array) -> Array:
        """P(u' > c, no crossing before) for each cosine in `c`."""
        sign = np.where(c >= 0, 1.0, -1.0)
        tails = _tail(self.n, size, sign * self.nodes[:, None], np.abs(c))
        above: Array = self.weights @ np.where(c >= 0, tails, 1 - tails)
        return above

    def step(self, size: int, t: float) -> "_Walk":
        """Go on with the paths that stay inside; by parts, since P(u' > x) is smoother in x than its density."""
        new = _Walk(size, t, self.sides, self.order)
        _, w = legendre(self.order)
        at_low, at_high, derivative = _polynomial(self.order)
        ends = self.above(size, np.array([new.low, new.high]))
        new.weights = ends[0] * at_low - ends[1] * at_high + (w * self.above(size, new.nodes)) @ derivative
        return new


def _tail(n: int, size: int, u: Array, c: Array) -> Array:
    """P(u' > c | u) for c >= 0; broadcasts."""
    m = size - n
    # sqrt(n / n') u cos(a) + sqrt(m / n') sin(a) = length cos(a - peak): above c in one interval of angles.
    length, peak = np.sqrt((n * u**2 + m) / size), np.arctan2(np.sqrt(m), np.sqrt(n) * u)
    reach = np.arccos(np.minimum(1.0, c / length))
    limit = np.arccos(_NEGLIGIBLE ** (1 / (n - 1)))
    low, high = np.clip(peak - reach, -limit, limit), np.clip(peak + reach, -limit, limit)
    x, w = legendre(_ANGLES)
    a = low[..., None] + (high - low)[..., None] * (x + 1) / 2
    density = np.cos(a) ** (n - 1)
    if m > 1:
        ratio = (c / length)[..., None] / np.cos(a - peak[..., None])
        density *= special.betaincc((n + 1) / 2, (m - 1) / 2, np.clip(ratio, 0.0, 1.0) ** 2)
    tail: Array = density @ w * (high - low) / 2 / special.beta(0.5, n / 2)
    return tail


def _cosine(n: int, t: float) -> float:
    return float(t / np.sqrt(n - 1 + t * t))


@lru_cache(maxsize=2)
def _polynomial(order: int) -> tuple[Array, Array, Array]:
    """For a polynomial given at Legendre nodes: what gives its value at -1 and 1, and its derivative at the nodes."""
    x, _ = legendre(order)
    basis = np.polynomial.legendre.legvander(x, order - 1)
    slopes = np.column_stack(
        [np.polynomial.legendre.legval(x, np.polynomial.legendre.legder(row)) for row in np.eye(order)]
    )
    solve = np.linalg.inv(basis)
    signs = (-1.0) ** np.arange(order)
    return signs @ solve, np.ones(order) @ solve, slopes @ solve
