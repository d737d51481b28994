"""Best of k: enumeration, tables and failures."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.tuning import best_trial, expected_best, expected_best_curve, luck_of_best


def test_the_worked_example_is_reproduced():
    values = [3.1, 3.2, 3.3, 3.4, 3.5]
    assert [expected_best(values, k) for k in (1, 2, 5)] == pytest.approx([3.3, 3.2, 3.1])


def test_it_is_the_mean_over_all_ways_to_pick_k_trials():
    values = np.random.default_rng(0).normal(size=7).tolist()
    expected = [np.mean([min(chosen) for chosen in combinations(values, k)]) for k in range(1, 8)]
    assert expected_best_curve(values) == pytest.approx(expected)


def test_a_diverged_trial_counts_as_worst_until_it_cannot_be_the_best():
    values = [3.0, float("nan"), 2.0]
    assert expected_best(values, 1) == float("inf")
    assert expected_best(values, 2) == pytest.approx((2 + 2 + 3) / 3)


@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_trials_is_refused(k: int):
    with pytest.raises(ConfigError, match="between 1 and the 3 trials"):
        expected_best([1.0, 2.0, 3.0], k)


def test_the_luck_of_the_best_matches_tables_of_normal_order_statistics():
    table = {2: 0.5642, 3: 0.8463, 4: 1.0294, 5: 1.163, 8: 1.4236, 10: 1.5388, 16: 1.766, 20: 1.8675, 32: 2.0697}
    assert {k: luck_of_best(k) for k in table} == pytest.approx(table, abs=6e-5)
    assert luck_of_best(1) == pytest.approx(0, abs=1e-12)
    assert luck_of_best(8, sd=0.0011, n_seeds=4) == pytest.approx(1.42360 * 0.00055, rel=1e-4)


def test_the_best_trial_has_the_lowest_mean_and_never_a_diverged_run():
    assert best_trial([[3.0, 3.2], [2.0, 4.3], [3.1, 3.0]]) == 2
    assert best_trial([[1.0, float("inf")], [5.0, 5.0], [1.0, float("nan")]]) == 1
    assert best_trial([[3.0], [3.0]]) == 0
    assert best_trial([[float("inf")], [float("nan")]]) == 0


def test_the_best_of_equal_trials_keeps_alpha_on_fresh_seeds_and_not_on_those_that_chose_it():
    """Simulated with scipy's paired t: 8 equal configurations, 5 seeds, one-sided 0.05. Known to be about 19%."""
    rng, studies, n = np.random.default_rng(4), 4000, 5
    tuning, fresh = rng.normal(size=(2, studies, 8, n))
    control = rng.normal(size=(studies, n))
    best = [best_trial(trials) for trials in tuning.tolist()]
    rates = [
        float((stats.ttest_rel(runs[range(studies), best], control, axis=1, alternative="less").pvalue < 0.05).mean())
        for runs in (fresh, tuning)
    ]
    assert rates[0] == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / studies) ** 0.5)
    assert 0.12 < rates[1] < 0.25
