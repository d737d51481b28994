"""False-positive rates of what analyses one study at a time: the functions themselves are called."""

from collections.abc import Callable, Iterator

import numpy as np

from coregpt.stats.calibration import batch
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rates import ALPHA
from coregpt.stats.calibration.rows import Row, of_flags, of_shares
from coregpt.stats.contrasts import worst_rank
from coregpt.stats.design import choose_test
from coregpt.stats.factorial import analyse
from coregpt.stats.moderated import moderated_paired_t, moderated_two_sample_t, variance_prior
from coregpt.stats.primary import run_primary
from coregpt.stats.screening import benjamini_hochberg
from coregpt.stats.survival import log_rank, paired_restricted_difference
from coregpt.stats.target import earliest_step

_Q = 0.1
_BAD_SEEDS = 0.15
_STOP = 0.67  # about a quarter of the runs never get there
_LEVEL = 0.05


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """One row per procedure, up to `r` studies each."""
    procedures: list[tuple[str, float, int, Callable[[Noise], bool]]] = [
        ("announced test, 4 arms, n = 5", ALPHA, r // 2, _announced),
        ("borrowed variance, unpaired, n = 3", ALPHA, r, _borrowed),
        ("borrowed variance, paired, n = 3", ALPHA, r, _borrowed_paired),
        ("log-rank at 0.05, n = 10, a quarter censored", _LEVEL, r // 2, lambda noise: _times(noise, paired=False)),
        ("the same, paired", _LEVEL, r // 2, lambda noise: _times(noise, paired=True)),
        ("restricted mean time at 0.05, n = 10, paired", _LEVEL, r, _restricted),
        ("2 x 2 main effects + Holm, n = 5", ALPHA, r, lambda noise: _factorial(noise, interactions=False)),
        ("2 x 2 interaction, n = 5", ALPHA, r, lambda noise: _factorial(noise, interactions=True)),
        ("earliest step of 6 correlated ones, n = 10", ALPHA, r, _earliest),
        ("worst rank at 0.05, n = 10, bad seeds diverge", _LEVEL, r, _diverging),
    ]
    for name, nominal, studies, rejects in procedures:
        hits = np.array([rejects(noise) for _ in range(studies)])
        yield of_flags(name, "false positives", noise.name, nominal, hits)
    shares = [_false_discoveries(noise) for _ in range(r)]
    yield of_shares("screen of 20 (false discoveries)", "false positives", noise.name, _Q, shares)


def _announced(noise: Noise) -> bool:
    y = noise.study(1, 4, 5)[0]
    found = run_primary(choose_test(5, 3), ALPHA, y[0], {str(i): y[i] for i in (1, 2, 3)}, {})
    return any(tested.p_adjusted < ALPHA for tested in found.values())


def _borrowed(noise: Noise) -> bool:
    prior = variance_prior(noise.draw(30, 5).var(1, ddof=1).tolist(), [4] * 30)
    return moderated_two_sample_t(noise.draw(3), noise.draw(3), prior).p < ALPHA


def _borrowed_paired(noise: Noise) -> bool:
    earlier = noise.study(10, 2, 5)
    prior = variance_prior((earlier[:, 0] - earlier[:, 1]).var(1, ddof=1).tolist(), [4] * 10)
    baseline, arm = noise.study(1, 2, 3)[0]
    return moderated_paired_t(baseline, arm, prior).p < ALPHA


def _times(noise: Noise, *, paired: bool) -> bool:
    y = noise.study(1, 2, 10)[0] if paired else noise.draw(2, 10)
    a, b = np.minimum(y, _STOP)
    return log_rank(a, y[0] <= _STOP, b, y[1] <= _STOP, paired=paired).p <= _LEVEL


def _restricted(noise: Noise) -> bool:
    times = np.exp(0.2 * noise.study(1, 2, 10)[0])
    horizon = float(np.exp(0.2 * _STOP))
    (a, b), (reached_a, reached_b) = np.minimum(times, horizon), times <= horizon
    return paired_restricted_difference(a, reached_a, b, reached_b, horizon).p < _LEVEL


def _factorial(noise: Noise, *, interactions: bool) -> bool:
    found = analyse(noise.study(1, 4, 5)[0].T, ("a", "b"), ALPHA)
    return any(effect.p_adjusted < ALPHA for effect in (found.interactions if interactions else found.main))


def _earliest(noise: Noise) -> bool:
    """Whether a step is claimed too early: only the last two lie below the target, the others right on it."""
    runs, steps = 10, 6
    luck = noise.draw(runs, 1) + 0.2 * np.cumsum(noise.draw(runs, steps), 1)
    found = earliest_step(range(steps), luck + np.array([0.0] * 4 + [-9.0] * 2), 0.0)
    return found is not None and found < 4


def _diverging(noise: Noise) -> bool:
    """On a bad seed each run diverges with probability one half, whichever its arm."""
    y = noise.study(1, 2, 10)[0]
    bad = noise.rng.random(10) < _BAD_SEEDS
    y[bad & (noise.rng.random(y.shape) < 0.5)] = np.inf
    return worst_rank(y[0], y[1], paired=True)[1] < _LEVEL


def _false_discoveries(noise: Noise) -> float:
    effects = np.where(np.arange(20) < 5, 2.0, 0.0)[:, None]
    passed = np.array(benjamini_hochberg(batch.t_p(noise.draw(20, 8) + effects).tolist())) <= _Q
    return float(passed[5:].sum() / max(1, passed.sum()))
