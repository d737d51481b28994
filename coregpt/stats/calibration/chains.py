"""Chains of studies: many ideas against one baseline, each screened, and the candidates confirmed at falling levels.

A screen has 6 seeds and passes on what is better at level 0.2; its baseline runs are those of every other screen. A
confirmation has 12 seeds that nothing has used, for both arms, at the settings of the screen, and is tested at the
level that `lond` gives it. Bracketed arms have optima anywhere within an octave of their declared rate, and all lean on
one bracket of the baseline, which a screen therefore makes with as many seeds as it tests with. A real idea is better
by 1.5 standard deviations of a run; of the ideas without effect, any that is confirmed is false, though the baseline's
own rate may be off its optimum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coregpt.stats import lond
from coregpt.stats.bracket import tuning_seeds
from coregpt.stats.calibration import batch, curves, tuned
from coregpt.stats.calibration.curves import Curve
from coregpt.stats.calibration.noise import CORRELATION, Noise
from coregpt.stats.calibration.rows import Row, of_flags, of_shares
from coregpt.stats.contrasts import worst_rank

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

ALPHA, SCREEN = 0.05, 0.2
SCREEN_SEEDS, CONFIRM_SEEDS = 6, 12
LEAST_POWER = 0.35
"""Promised for real ideas of 1.5 standard deviations, 3 among 30."""
_BRACKETED_CORRELATION = 0.2
"""Share of variance that runs of one seed have in common when each arm trains at its own rate."""
_SPREAD = 1.0
_BLOCK = 50  # chains at once, for memory's sake


@dataclass(frozen=True)
class Case:
    """Chains of one kind; without a curve every arm trains as declared. Somewhere among the ideas, `real` ones."""

    curve: Curve | None = None
    ideas: int = 30
    real: int = 0
    effect: float = 1.5
    baseline_seeds: int = SCREEN_SEEDS
    """Tuning seeds of the baseline, if there is a curve; the ideas have a third of a screen's."""

    @property
    def name(self) -> str:
        how = "as declared" if self.curve is None else f"bracketed, {self.curve.name}"
        return f"chain of {self.ideas} ideas, {self.real} real, {how}"

    @property
    def correlation(self) -> float:
        return CORRELATION if self.curve is None else _BRACKETED_CORRELATION


CASES: Sequence[Case] = tuple(
    Case(curve, real=real)
    for curve in (None, curves.SMOOTH, curves.NGPT, curves.CLIFF, curves.GPT, curves.LION)
    for real in (0, 3)
)


class Chains(NamedTuple):
    """Each (chains, ideas) in the order in which ideas were tried."""

    real: Flags
    candidate: Flags
    confirmed: Flags

    @property
    def any_false(self) -> Flags:
        """Whether a chain calls an idea without effect better (chains,)."""
        return np.asarray((self.confirmed & ~self.real).any(1))

    @property
    def false_share(self) -> Array:
        """Share of false ones among a chain's confirmed ideas (chains,); 0 where none is confirmed."""
        share: Array = (self.confirmed & ~self.real).sum(1) / np.maximum(self.confirmed.sum(1), 1)
        return share

    @property
    def found(self) -> Array:
        """Share of a chain's real ideas that are confirmed (chains,)."""
        share: Array = (self.confirmed & self.real).sum(1) / np.maximum(self.real.sum(1), 1)
        return share


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """`r` chains per case: any false claim of chains without effects; false discoveries and power of the others."""
    for case in CASES:
        made = simulate(case, noise, r)
        if not case.real:
            yield of_flags(f"{case.name}, any false", "false positives", noise.name, ALPHA, made.any_false)
            continue
        shares = made.false_share.tolist()
        yield of_shares(f"{case.name}, false discoveries", "false positives", noise.name, ALPHA, shares)
        yield of_shares(f"{case.name}, found", "power at least", noise.name, LEAST_POWER, made.found.tolist())


def simulate(case: Case, noise: Noise, r: int) -> Chains:
    """`r` chains from the first screen to the last confirmation."""
    sizes = [min(_BLOCK, r - start) for start in range(0, r, _BLOCK)]
    blocks = [_block(case, noise, size) for size in sizes]
    return Chains(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def confirm(candidate: Flags, gain: Array, p: Array, alpha: float = ALPHA) -> Flags:
    """Which candidates are confirmed; all (chains, ideas), p of a confirmation two-sided, gain above 0 is better."""
    k, found = np.zeros(len(p), dtype=np.int64), np.zeros(len(p), dtype=np.int64)
    confirmed = np.zeros(p.shape, dtype=bool)
    for idea in range(p.shape[1]):
        tested = candidate[:, idea]
        k += tested
        level = lond.level(alpha, np.maximum(k, 1), np.minimum(found, np.maximum(k, 1) - 1))
        confirmed[:, idea] = tested & (gain[:, idea] > 0) & (p[:, idea] < level)
        found += confirmed[:, idea]
    return confirmed


def _block(case: Case, noise: Noise, r: int) -> Chains:
    real = noise.rng.permuted(np.broadcast_to(np.arange(case.ideas) < case.real, (r, case.ideas)), axis=1)
    shift = np.where(real, case.effect, 0.0)  # in standard deviations of a run
    screen = _as_declared if case.curve is None else _bracketed
    gain, p, distance = screen(case, noise, shift)
    candidate = (gain > 0) & (p < SCREEN)
    fresh = noise.study(r * case.ideas, 2, CONFIRM_SEEDS, case.correlation)
    y = _losses(case, noise, distance.reshape(-1, 2), fresh, shift.reshape(-1))
    return Chains(real, candidate, confirm(candidate, *_tested(y, candidate)))


def _as_declared(case: Case, noise: Noise, shift: Array) -> tuple[Array, Array, Array]:
    """Gain and p of every screen (chains, ideas); distances from the optimum (chains, ideas, 2) are none."""
    y = noise.study(len(shift), 1 + case.ideas, SCREEN_SEEDS, case.correlation)
    d = y[:, :1] - (y[:, 1:] - shift[..., None])
    return d.mean(-1), batch.t_p(d), np.zeros((*shift.shape, 2))


def _bracketed(case: Case, noise: Noise, shift: Array) -> tuple[Array, Array, Array]:
    """The same after tuning runs, walk and fit of every pair; the baseline's tuning runs are those of all pairs."""
    curve, (r, ideas) = case.curve, shift.shape
    assert curve is not None
    optima = noise.rng.uniform(-_SPREAD, _SPREAD, (r, 1 + ideas))
    seeds = np.array([case.baseline_seeds, tuning_seeds(SCREEN_SEEDS)])
    places, m = len(tuned.GRID), int(seeds.max())
    luck = noise.study(r, (1 + ideas) * places, m, case.correlation).reshape(r, 1 + ideas, places, m)
    tried = curve.losses((tuned.GRID - optima[..., None])[..., None], luck, noise.rng)
    tried[:, 1:] -= curve.sigma * shift[..., None, None]
    found = tuned.tune(_pairs(tried), seeds)
    distance = found.optimum - _pairs(optima)
    runs = _pairs(noise.study(r, 1 + ideas, SCREEN_SEEDS, case.correlation))
    gain, p = tuned.p_values(found, _losses(case, noise, distance, runs, shift.reshape(-1)))
    return gain.reshape(r, ideas), p.reshape(r, ideas), distance.reshape(r, ideas, 2)


def _pairs(every: Array) -> Array:
    """(chains x ideas, 2, ...) of (chains, 1 + ideas, ...): each idea beside its chain's baseline."""
    baseline, ideas = np.broadcast_to(every[:, :1], every[:, 1:].shape), every[:, 1:]
    return np.stack([baseline, ideas], 2).reshape(-1, 2, *every.shape[2:])


def _losses(case: Case, noise: Noise, distance: Array, luck: Array, shift: Array) -> Array:
    """Final losses (studies, 2, seeds) at distances (studies, 2) from the optimum; infinite where a run diverged."""
    y = luck.copy() if case.curve is None else case.curve.losses(distance[..., None], luck, noise.rng)
    y[:, 1] -= (1.0 if case.curve is None else case.curve.sigma) * shift[:, None]
    return y


def _tested(y: Array, candidate: Flags) -> tuple[Array, Array]:
    """Gain and p of confirmations, shaped like `candidate`: paired t, or ranks where a run diverged.

    An arm that diverges more often than the baseline is not better, whatever its ranks say.
    """
    whole: Flags = np.asarray(np.isfinite(y).all((1, 2)))
    d = batch.difference(np.where(whole[:, None, None], y, 0.0))
    gain = d.mean(-1)
    with np.errstate(invalid="ignore"):
        p = np.where(whole, batch.t_p(d), 1.0)
    for i in np.flatnonzero(~whole & candidate.reshape(-1)):
        baseline, arm = y[i]
        gain[i], p[i] = worst_rank(baseline, arm, paired=True)
        if np.isinf(arm).sum() > np.isinf(baseline).sum():
            p[i] = 1.0
    return gain.reshape(candidate.shape), p.reshape(candidate.shape)
