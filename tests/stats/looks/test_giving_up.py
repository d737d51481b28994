"""Giving up within a screen: the chance against draws from the posterior, limits, ranks, one rule for one and many."""

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.looks.giving_up import Screening, chance, decide, ends, replay

RANDOM = np.random.default_rng(0)
RULE = Screening(6, 0.2)


def drawn(d: np.ndarray, seeds: int, alpha: float, draws: int = 200_000) -> float:
    """The definition: a variance, a mean and the gains to come, drawn one after the other; then the last t-test."""
    n, rng = len(d), np.random.default_rng(1)
    variance = d.var(ddof=1) * (n - 1) / rng.chisquare(n - 1, draws)
    mean = rng.normal(d.mean(), np.sqrt(variance / n))
    to_come = rng.normal(mean[:, None], np.sqrt(variance)[:, None], (draws, seeds - n))
    whole = np.concatenate([np.broadcast_to(d, (draws, n)), to_come], 1)
    t = whole.mean(1) / (whole.std(1, ddof=1) / np.sqrt(seeds))
    return float(np.mean(t > stats.t.isf(alpha / 2, seeds - 1)))


@pytest.mark.parametrize(("n", "seeds"), [(2, 6), (3, 6), (5, 6), (4, 12), (11, 12)])
def test_the_chance_is_that_of_gains_drawn_from_what_is_there(n: int, seeds: int) -> None:
    for shift in (-1.0, 0.3, 1.5):
        d = RANDOM.normal(shift, 1, n)
        assert chance(Screening(seeds, 0.2), d) == pytest.approx(drawn(d, seeds, 0.2), abs=0.005)


def test_at_the_limit_the_chance_is_the_one_declared() -> None:
    for n in range(2, 6):
        d = RANDOM.normal(size=n)
        d = (d - d.mean()) / d.std(ddof=1)
        for over, step in ((1e-4, "go on"), (-1e-4, "futile")):
            moved = d + (RULE.limit(n) + over) / np.sqrt(n)
            assert decide(RULE, moved) == step
            assert chance(RULE, moved) == pytest.approx(0.05, abs=2e-3)


def test_neither_scale_nor_order_of_gains_matters() -> None:
    for d in RANDOM.normal(0, 1, (50, 4)):
        assert decide(RULE, d) == decide(RULE, 1e-6 * d) == decide(RULE, d[::-1])


def test_the_end_is_the_t_test_of_all_seeds() -> None:
    for d in RANDOM.normal(0.5, 1, (200, 6)):
        found = stats.ttest_1samp(d, 0)
        assert (decide(RULE, d) == "candidate") == (found.pvalue < 0.2 and d.mean() > 0)
        assert decide(RULE, d) in ("candidate", "no sign")


def test_one_screen_and_many_end_alike() -> None:
    d = RANDOM.normal(0.3, 1, (500, 6))
    many = ends(RULE, d)
    one = [replay(RULE, each) for each in d]
    assert [seeds for seeds, _ in one] == many.seeds.tolist()
    assert [step == "candidate" for _, step in one] == many.candidate.tolist()
    assert {step for _, step in one} == {"futile", "candidate", "no sign"}


def test_a_clear_loser_ends_after_two_seeds_and_one_gain_says_nothing() -> None:
    assert replay(RULE, np.array([-3.0, -2.0, 9.0])) == (2, "futile")
    assert decide(RULE, np.array([-100.0])) == "go on"
    assert replay(RULE, np.array([1.0, 0.9])) == (2, "go on")
    assert replay(RULE, np.array([])) == (0, "go on")


def test_gains_without_scatter_are_certain() -> None:
    assert decide(RULE, np.array([-1.0, -1.0])) == "futile"
    assert decide(RULE, np.array([0.5] * 6)) == "candidate"
    assert decide(RULE, np.zeros(6)) == "no sign"


def test_a_diverged_run_of_the_arm_ends_what_ranks_can_no_longer_pass() -> None:
    assert replay(RULE, np.array([-np.inf, 1.0])) == (1, "futile")
    assert decide(Screening(10, 0.2), np.array([-np.inf])) == "go on"
    assert decide(Screening(10, 0.2), np.array([-np.inf] * 2)) == "futile"


def test_a_diverged_run_of_the_baseline_leaves_it_to_the_ranks() -> None:
    assert decide(RULE, np.array([np.inf, -1.0])) == "go on"
    assert decide(RULE, np.array([np.inf, np.nan])) == "go on"
    assert decide(RULE, np.array([np.inf, 1.0, 2.0, 3.0, 4.0, 5.0])) == "candidate"
    assert decide(RULE, np.array([np.inf, -1.0, -2.0, -3.0, -4.0, -5.0])) == "no sign"


def test_more_gains_than_seeds_and_too_few_seeds_are_mistakes() -> None:
    with pytest.raises(ConfigError, match="no 7th"):
        decide(RULE, np.ones(7))
    with pytest.raises(ConfigError, match="at least 2"):
        Screening(1, 0.2)
