"""Time to target: Freireich's leukaemia trial, scipy, and hand-made curves."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.survival import (
    first_crossing,
    kaplan_meier,
    log_rank,
    paired_restricted_difference,
    restricted_mean,
)

TREATED = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35], dtype=float)
RELAPSED = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], dtype=float)
ALL = np.ones(21, dtype=bool)


def test_freireichs_trial_is_reproduced():
    found = log_rank(TREATED, RELAPSED, PLACEBO, ALL)
    assert found.chi2 == pytest.approx(16.79294098921654)
    assert 1 / 20_001 <= found.p < 5e-4
    curve = kaplan_meier(TREATED, RELAPSED)
    assert curve.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.share == pytest.approx([0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], abs=5e-5)
    assert restricted_mean(TREATED, RELAPSED, 23) == pytest.approx(17.909243697478995)
    assert restricted_mean(PLACEBO, ALL, 23) == pytest.approx(8.666666666666668)


def test_log_rank_agrees_with_scipy_and_is_symmetric():
    a, b = stats.CensoredData(TREATED[RELAPSED], right=TREATED[~RELAPSED]), stats.CensoredData(PLACEBO)
    for found in (log_rank(TREATED, RELAPSED, PLACEBO, ALL), log_rank(PLACEBO, ALL, TREATED, RELAPSED)):
        assert stats.chi2.sf(found.chi2, 1) == pytest.approx(stats.logrank(a, b).pvalue)


def chi2_by_scipy(a: np.ndarray, reached_a: np.ndarray, b: np.ndarray, reached_b: np.ndarray) -> float:
    x, y = (stats.CensoredData(t[r], right=t[~r]) for t, r in ((a, reached_a), (b, reached_b)))
    return float(stats.logrank(x, y).statistic ** 2)


def test_the_p_is_the_share_of_relabellings_counted_one_by_one():
    a, b = np.array([3.0, 5.0, 5.0, 7.0]), np.array([5.0, 6.0, 8.0, 9.0])
    reached = np.array([True, True, True, False, True, True, True, False])
    times, n = np.concatenate([a, b]), 4

    def share(labels: list[list[int]]) -> float:
        found = []
        for first in labels:
            rest = [i for i in range(2 * n) if i not in first]
            found.append(chi2_by_scipy(times[first], reached[first], times[rest], reached[rest]))
        return float(np.mean(np.array(found) >= chi2_by_scipy(a, reached[:n], b, reached[n:]) - 1e-9))

    free = [list(chosen) for chosen in combinations(range(2 * n), n)]
    swapped = [[i + n * s for i, s in enumerate(flips)] for flips in product((0, 1), repeat=n)]
    assert log_rank(a, reached[:n], b, reached[n:]).p == pytest.approx(share(free))
    assert log_rank(a, reached[:n], b, reached[n:], paired=True).p == pytest.approx(share(swapped))


@pytest.mark.parametrize("paired", [False, True])
def test_the_log_rank_test_keeps_its_level_at_ten_runs_with_a_quarter_censored(paired: bool):
    # Chi-square's tail rejected 6% at 5% here. Paired runs share their luck.
    rng, r = np.random.default_rng(0), 400
    hits = 0
    for _ in range(r):
        y = rng.normal(size=(2, 10)) + 2 * paired * rng.normal(size=10)
        stop = np.quantile(y, 0.75)
        a, b = np.minimum(y, stop)
        hits += log_rank(a, y[0] <= stop, b, y[1] <= stop, paired=paired).p <= 0.05
    assert hits / r <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / r)
    assert hits / r >= 0.02


def test_without_censoring_the_restricted_mean_is_the_mean_of_the_cut_times():
    assert restricted_mean(PLACEBO, ALL, 10) == pytest.approx(np.minimum(PLACEBO, 10).mean())


def test_runs_that_never_get_there_leave_nothing_to_compare():
    never = np.zeros(3, dtype=bool)
    assert log_rank(np.full(3, 9.0), never, np.full(3, 9.0), never).p == 1.0


def test_a_crossing_is_interpolated_between_evaluations():
    steps = np.array([0.0, 100.0, 200.0, 300.0])
    found = first_crossing(steps, np.array([4.0, 3.5, 3.1, 3.0]), 3.3)
    assert (found.at, found.reached) == (pytest.approx(150.0), True)
    assert first_crossing(steps, np.array([4.0, 3.2, 3.4, 3.1]), 3.3).at == pytest.approx(87.5)
    assert first_crossing(steps, np.array([3.0, 3.2, 3.4, 3.1]), 3.3).at == 0.0


def test_a_run_that_never_crosses_or_diverges_is_censored_where_it_ends():
    steps = np.array([0.0, 100.0, 200.0])
    for values in ([4.0, 3.9, 3.8], [4.0, np.inf, np.inf], [4.0, np.nan, np.nan]):
        found = first_crossing(steps, np.array(values), 3.3)
        assert (found.at, found.reached) == (200.0, False)


def test_the_paired_difference_is_a_t_test_on_cut_times():
    base, arm = np.array([50.0, 60.0, 80.0, 80.0]), np.array([40.0, 45.0, 70.0, 60.0])
    reached = np.array([True, True, False, False])
    found = paired_restricted_difference(base, reached, arm, np.ones(4, dtype=bool), 70.0)
    expected = stats.ttest_rel([50, 60, 70, 70], [40, 45, 70, 60])
    assert (found.gain, found.p) == pytest.approx((8.75, expected.pvalue))


def test_a_horizon_beyond_the_data_is_refused():
    with pytest.raises(ConfigError, match="horizon"):
        paired_restricted_difference(PLACEBO, ALL, TREATED, RELAPSED, 23.0)
    with pytest.raises(ConfigError, match="horizon"):
        restricted_mean(TREATED, RELAPSED, 40.0)
