"""Do the procedures keep their promises? Simulation of false-positive rates, power and coverage.

Studies are drawn from normal noise and from residuals of real runs; blocks share `CORRELATION` of the variance.
Everything is vectorised over replicates and follows from the seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.stats.anytime import e_value_of_t
from coregpt.stats.design import choose_test
from coregpt.stats.distributions import dunnett_critical
from coregpt.stats.moderated import moderated_two_sample_t, variance_prior
from coregpt.stats.power import EQUIVALENCE_LEVEL, difference_sd, power_to_detect
from coregpt.stats.primary import run_primary
from coregpt.stats.screening import benjamini_hochberg
from coregpt.stats.sequential import Looks
from coregpt.stats.survival import log_rank

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Kind = Literal["false positives", "power", "coverage"]

ALPHA = 0.01
CORRELATION = 0.45
POWER_TOLERANCE, COVERAGE_TOLERANCE = 0.03, 0.01
FULL, QUICK = 20_000, 2_000
_SLOW = 4  # procedures without a vectorised form get one replicate for this many of the others


@dataclass(frozen=True)
class Row:
    """One measured promise; `error` is the Monte Carlo standard error of `measured`."""

    procedure: str
    kind: Kind
    noise: str
    nominal: float
    measured: float
    error: float

    @property
    def ok(self) -> bool:
        """Rates at most nominal, power within 3 points, coverage within 1; all up to three standard errors."""
        if self.kind == "false positives":
            return self.measured <= self.nominal + 3 * self.error
        tolerance = POWER_TOLERANCE if self.kind == "power" else COVERAGE_TOLERANCE
        return abs(self.measured - self.nominal) <= max(tolerance, 3 * self.error)


class Noise:
    """Draws losses with standard deviation 1 and mean 0, from the normal or from real residuals."""

    def __init__(self, name: str, rng: np.random.Generator, pool: Array | None = None) -> None:
        self.name, self.rng = name, rng
        self.pool = None if pool is None else (pool - pool.mean()) / pool.std()

    def draw(self, *shape: int) -> Array:
        """Independent values."""
        if self.pool is None:
            return self.rng.normal(size=shape)
        drawn: Array = self.pool[self.rng.integers(0, len(self.pool), shape)]
        return drawn

    def study(self, replicates: int, arms: int, n: int) -> Array:
        """Losses (replicates, arms, n) whose seeds are shared by all arms."""
        luck = self.draw(replicates, 1, n) * np.sqrt(CORRELATION)
        return luck + self.draw(replicates, arms, n) * np.sqrt(1 - CORRELATION)


def residuals() -> Array:
    """Residuals of real runs about their arm's mean, in nats (provenance in the file's header)."""
    text = resources.files("coregpt.stats").joinpath("residuals.csv").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")][1:]
    return np.array([float(line.split(",")[1]) for line in lines])


def calibrate(replicates: int, seed: int = 0) -> Iterator[Row]:
    """Measure every procedure; rows come as they are done. The same seed gives the same rows."""
    for name, pool in (("normal", None), ("real residuals", residuals())):
        noise = Noise(name, np.random.default_rng([seed, len(name)]), pool)
        yield from _false_positives(noise, replicates)
        yield from _slow_false_positives(noise, replicates // _SLOW)
        yield from _power(noise, replicates)
        yield from _coverage(noise, replicates)


def _row(procedure: str, kind: Kind, noise: Noise, nominal: float, hits: Flags) -> Row:
    measured = float(np.mean(hits))
    # The error under the promise itself, so that a lucky 0 is not called exact.
    return Row(procedure, kind, noise.name, nominal, measured, float(np.sqrt(nominal * (1 - nominal) / len(hits))))


def _false_positives(noise: Noise, r: int) -> Iterator[Row]:
    def row(name: str, hits: Flags, nominal: float = ALPHA) -> Row:
        return _row(name, "false positives", noise, nominal, hits)

    for n in (5, 10, 20):
        yield row(f"paired t, n = {n}", _paired_p(noise.study(r, 2, n)) < ALPHA)
    for n in (3, 5, 10):
        x, y = noise.draw(r, n), noise.draw(r, n)
        yield row(f"Welch t, n = {n}", _welch_p(x, y) < ALPHA)
    for arms, n in ((3, 3), (6, 3), (6, 5), (11, 5)):
        yield row(
            f"blocked Dunnett, {arms} arms, n = {n}", np.asarray(_dunnett_rejects(noise.study(r, arms, n)).any(1))
        )
    y = noise.study(r, 5, 8)
    smallest: Array = _t_p(y[:, :1] - y[:, 1:]).min(1)
    yield row("paired t + Holm, 5 arms, n = 8", smallest < ALPHA / 4)
    yield row("sign-flip, n = 8", _sign_flip_p(_difference(noise.study(r, 2, 8))) < ALPHA)
    for n in (3, 5, 20):
        below: Array = stats.t.cdf(_t(noise.draw(r, n)), n - 1)
        yield row(f"target test, n = {n}", below < ALPHA)
    d = _difference(noise.study(r, 2, 12))
    for spending in ("pocock", "obrien_fleming"):
        yield row(f"3 looks, {spending}", _ever_rejects(d, Looks((4, 8, 12), ALPHA, spending)))
    yield row("e-value, any time up to 100", _e_value_crosses(_difference(noise.study(r // 2, 2, 100))))
    margin = 1.0
    d = _difference(noise.study(r, 2, 8)) + margin
    se = d.std(1, ddof=1) / np.sqrt(8)
    worse: Array = np.maximum(stats.t.cdf((d.mean(1) - margin) / se, 7), stats.t.sf((d.mean(1) + margin) / se, 7))
    yield row("equivalence at the margin, n = 8", worse < EQUIVALENCE_LEVEL, EQUIVALENCE_LEVEL)


def _slow_false_positives(noise: Noise, r: int) -> Iterator[Row]:
    design = choose_test(5, 3)

    def announced(y: Array) -> bool:
        found = run_primary(design, ALPHA, y[0], {str(i): y[i] for i in (1, 2, 3)}, {})
        return any(tested.p_adjusted < ALPHA for tested in found.values())

    def borrowed() -> bool:
        prior = variance_prior(noise.draw(30, 5).var(1, ddof=1).tolist(), [4] * 30)
        return moderated_two_sample_t(noise.draw(3), noise.draw(3), prior).p < ALPHA

    def times() -> bool:
        a, b = noise.draw(10), noise.draw(10)
        stop = 0.67  # about a quarter of the runs never get there
        return log_rank(np.minimum(a, stop), a <= stop, np.minimum(b, stop), b <= stop).p < EQUIVALENCE_LEVEL

    def screen() -> float:
        p = _t_p(noise.draw(20, 8) + np.where(np.arange(20) < 5, 2.0, 0.0)[:, None])
        passed = np.array(benjamini_hochberg(p.tolist())) <= 0.1
        return float(passed[5:].sum() / max(1, passed.sum()))

    yield _repeat("announced test, 4 arms, n = 5", noise, ALPHA, r // 2, lambda: announced(noise.study(1, 4, 5)[0]))
    yield _repeat("borrowed variance, n = 3", noise, ALPHA, r, borrowed)
    yield _repeat("log-rank at 0.05, n = 10, a quarter censored", noise, 0.05, r // 2, times)
    yield _repeat("screen of 20 (false discoveries)", noise, 0.1, r, screen)


def _repeat(name: str, noise: Noise, nominal: float, r: int, once: Callable[[], float]) -> Row:
    found = np.array([float(once()) for _ in range(r)])
    binary = bool(np.isin(found, (0.0, 1.0)).all())
    spread = float(np.sqrt(nominal * (1 - nominal))) if binary else float(found.std())
    return Row(name, "false positives", noise.name, nominal, float(found.mean()), spread / float(np.sqrt(r)))


def _power(noise: Noise, r: int) -> Iterator[Row]:
    """Measured power against the formula `plan` prints."""
    for n, effect in ((5, 2.4), (10, 1.3), (20, 0.9)):
        y = noise.study(r, 2, n)
        expected = power_to_detect(effect, difference_sd(1.0, CORRELATION), choose_test(n, 1), ALPHA)
        yield _row(f"paired t, n = {n}", "power", noise, expected, _paired_p(y + _shift(2, effect)) < ALPHA)
    for arms, n, effect in ((6, 3, 2.2), (6, 5, 1.6)):
        design = choose_test(n, arms - 1)
        expected = power_to_detect(effect, difference_sd(1.0, CORRELATION), design, ALPHA)
        hits = _dunnett_rejects(noise.study(r, arms, n) + _shift(arms, effect))[:, 0]
        yield _row(f"blocked Dunnett, {arms} arms, n = {n}", "power", noise, expected, hits)
    expected = power_to_detect(0.002 / 0.0011, difference_sd(1.0), choose_test(11, 1, paired=False), ALPHA)
    x, y = noise.draw(r, 11), noise.draw(r, 11) - 0.002 / 0.0011
    hits = _welch_p(x, y) < ALPHA
    yield _row("Welch t, n = 11", "power", noise, expected, hits)


def _coverage(noise: Noise, r: int) -> Iterator[Row]:
    for n in (3, 5, 10, 20):
        d = _difference(noise.study(r, 2, n))
        half = stats.t.isf(0.025, n - 1) * d.std(1, ddof=1) / np.sqrt(n)
        inside: Flags = np.asarray(np.abs(d.mean(1)) <= half)
        yield _row(f"t interval of a paired gain, n = {n}", "coverage", noise, 0.95, inside)
    for n in (3, 5, 10, 20):
        y = noise.study(r, 4, n)
        gain, se, _ = _blocked(y)
        inside = np.abs(gain) <= dunnett_critical(0.05, 3, 3 * (n - 1)) * se[:, None]
        yield _row(
            f"simultaneous Dunnett intervals, 4 arms, n = {n}", "coverage", noise, 0.95, np.asarray(inside.all(1))
        )


def _difference(y: Array) -> Array:
    return y[:, 0] - y[:, 1]


def _shift(arms: int, effect: float) -> Array:
    """Makes arm 1 better by `effect`."""
    shift = np.zeros((1, arms, 1))
    shift[0, 1] = -effect
    return shift


def _t_p(d: Array) -> Array:
    p: Array = 2 * stats.t.sf(np.abs(_t(d)), d.shape[-1] - 1)
    return p


def _t(d: Array) -> Array:
    """Student's t of the last axis; resampling may draw one value n times, which has no spread."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t: Array = d.mean(-1) / (d.std(-1, ddof=1) / np.sqrt(d.shape[-1]))
    return t


def _welch_p(x: Array, y: Array) -> Array:
    n = x.shape[1]
    vx, vy = x.var(1, ddof=1) / n, y.var(1, ddof=1) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        t, df = (x.mean(1) - y.mean(1)) / np.sqrt(vx + vy), (n - 1) * (vx + vy) ** 2 / (vx**2 + vy**2)
    p: Array = 2 * stats.t.sf(np.abs(t), df)
    return p


def _paired_p(y: Array) -> Array:
    return _t_p(_difference(y))


def _blocked(y: Array) -> tuple[Array, Array, int]:
    """Gains (replicates, treatments), their standard error and degrees of freedom, all replicates at once."""
    _, arms, n = y.shape
    e = y - y.mean(2, keepdims=True) - y.mean(1, keepdims=True) + y.mean((1, 2), keepdims=True)
    df = (arms - 1) * (n - 1)
    means = y.mean(2)
    return means[:, :1] - means[:, 1:], np.sqrt(2 * (e**2).sum((1, 2)) / df / n), df


def _dunnett_rejects(y: Array) -> Flags:
    gain, se, df = _blocked(y)
    rejects: Flags = np.abs(gain) / se[:, None] > dunnett_critical(ALPHA, y.shape[1] - 1, df)
    return rejects


def _sign_flip_p(d: Array) -> Array:
    n = d.shape[1]
    signs = 1.0 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    p: Array = np.mean(np.abs(d @ signs.T) >= np.abs(d.sum(1))[:, None] - 1e-10 * np.abs(d).sum(1)[:, None], axis=1)
    return p


def _ever_rejects(d: Array, looks: Looks) -> Flags:
    crossed = np.zeros(len(d), dtype=bool)
    for size, t in zip(looks.sizes, looks.boundaries, strict=True):
        crossed |= np.abs(_t(d[:, :size])) > t
    return crossed


def _e_value_crosses(d: Array) -> Flags:
    n = np.arange(1, d.shape[1] + 1, dtype=np.float64)
    mean, square = np.cumsum(d, 1) / n, np.cumsum(d**2, 1)
    variance = (square - n * mean**2)[:, 2:] / (n[2:] - 1)
    t = mean[:, 2:] * np.sqrt(n[2:] / variance)
    return np.asarray((e_value_of_t(t, n[2:]) >= 1 / ALPHA).any(1))
