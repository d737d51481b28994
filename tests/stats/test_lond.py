"""Levels of claims one after another, against an independent sum, a table made for another page, and a slow chain."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import special, stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.lond import gamma, level


def zeta(s: float, terms: int = 200_000) -> float:
    """By its sum, with the integral and half of a term for the rest (Euler & Maclaurin)."""
    first = math.fsum(k**-s for k in range(1, terms))
    return first + terms ** (1 - s) / (s - 1) + terms**-s / 2


def test_shares_follow_a_power_and_sum_to_one():
    whole = zeta(1.6)
    for k in (1, 2, 3, 10, 1000):
        assert gamma(k) == pytest.approx(k**-1.6 / whole, rel=1e-9)
    # As published with the proposal: .4375, .1443, .0754, gamma_10 = .0110.
    assert [round(gamma(k), 4) for k in (1, 2, 3, 10)] == [0.4375, 0.1443, 0.0754, 0.0110]
    assert math.fsum(gamma(k) for k in range(1, 100_000)) < 1


def test_a_level_is_its_share_times_one_more_than_what_was_confirmed():
    assert level(0.05, 3, 0) == pytest.approx(0.05 * 3**-1.6 / zeta(1.6))
    assert level(0.05, 3, 2) == pytest.approx(3 * level(0.05, 3, 0))
    assert all(level(0.05, k, k - 1) < 0.05 for k in range(1, 200)), "no claim is tested at more than alpha"


def test_many_levels_at_once_are_those_one_by_one():
    k, found = np.array([1, 2, 5, 5]), np.array([0, 1, 0, 3])
    assert level(0.1, k, found).tolist() == [level(0.1, int(a), int(b)) for a, b in zip(k, found, strict=True)]


@pytest.mark.parametrize(("k", "confirmed"), [(0, 0), (1, 1), (3, -1)])
def test_impossible_counts_are_refused(k: int, confirmed: int):
    with pytest.raises(ConfigError):
        level(0.05, k, confirmed)


# -- whole chains, one run at a time: nothing of the package but the level ---------------------------------------------


def paired(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """t and two-sided p of `scipy.stats.ttest_rel`, which takes 0.7 ms for each."""
    d = one - other
    t = d.mean() / (d.std(ddof=1) / math.sqrt(len(d)))
    return t, 2 * special.stdtr(len(d) - 1, -abs(t))


def test_the_paired_test_of_these_chains_is_scipys():
    one, other = np.random.default_rng(3).normal(size=(2, 12))
    wanted = stats.ttest_rel(one, other)
    assert paired(one, other) == pytest.approx((wanted.statistic, wanted.pvalue))


def slow_chain(rng: np.random.Generator, real: set[int], effect: float, ideas: int) -> Iterator[tuple[int, bool]]:
    """(idea, whether it is real) of every confirmed one: 6 seeds at 0.2, on a shared baseline, then 12 fresh ones."""
    share = 0.45
    luck = rng.normal(size=6) * math.sqrt(share)
    baseline = luck + rng.normal(size=6) * math.sqrt(1 - share)
    k = confirmed = 0
    for idea in range(ideas):
        gain = effect if idea in real else 0.0
        arm = luck + rng.normal(size=6) * math.sqrt(1 - share) - gain
        t, p = paired(baseline, arm)
        if not (p < 0.2 and t > 0):
            continue
        fresh = rng.normal(size=12) * math.sqrt(share)
        t, p = paired(
            fresh + rng.normal(size=12) * math.sqrt(1 - share),
            fresh + rng.normal(size=12) * math.sqrt(1 - share) - gain,
        )
        k += 1
        if p < level(0.05, k, confirmed) and t > 0:
            confirmed += 1
            yield idea, idea in real


@pytest.mark.parametrize(
    ("ideas", "effect", "power"),
    [(10, 1.0, 0.52), (30, 1.0, 0.42), (30, 1.5, 0.88)],  # the proposal's table: one idea in ten is real
)
def test_a_slow_simulation_comes_to_the_powers_of_the_table(ideas: int, effect: float, power: float):
    rng, chains, real = np.random.default_rng(ideas), 250, ideas // 10
    found = [
        sum(is_real for _, is_real in slow_chain(rng, set(rng.choice(ideas, real, replace=False)), effect, ideas))
        for _ in range(chains)
    ]
    measured, error = np.mean(found) / real, np.std(found) / real / math.sqrt(chains)
    assert abs(measured - power) < 3 * error + 0.01


def test_a_slow_simulation_without_effects_seldom_confirms_anything():
    rng, chains = np.random.default_rng(2), 250
    hits = sum(any(True for _ in itertools.islice(slow_chain(rng, set(), 0.0, 30), 1)) for _ in range(chains))
    assert stats.binomtest(hits, chains, 0.05, alternative="greater").pvalue > 0.01
    assert abs(hits / chains - 0.014) < 3 * math.sqrt(0.014 * 0.986 / chains) + 0.001
