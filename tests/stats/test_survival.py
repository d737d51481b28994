"""Time to target: Freireich's leukaemia trial, scipy, and hand-made curves."""

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
    assert (found.chi2, found.p) == pytest.approx((16.79294098921654, 4.168809109334532e-05))
    curve = kaplan_meier(TREATED, RELAPSED)
    assert curve.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.share == pytest.approx([0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], abs=5e-5)
    assert restricted_mean(TREATED, RELAPSED, 23) == pytest.approx(17.909243697478995)
    assert restricted_mean(PLACEBO, ALL, 23) == pytest.approx(8.666666666666668)


def test_log_rank_agrees_with_scipy_and_is_symmetric():
    a, b = stats.CensoredData(TREATED[RELAPSED], right=TREATED[~RELAPSED]), stats.CensoredData(PLACEBO)
    assert log_rank(TREATED, RELAPSED, PLACEBO, ALL).p == pytest.approx(stats.logrank(a, b).pvalue)
    assert log_rank(PLACEBO, ALL, TREATED, RELAPSED).p == pytest.approx(stats.logrank(a, b).pvalue)


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
