import numpy as np
import pytest
from scipy import optimize, stats

from coregpt.trained.estimates import mean_of_rows, wilson


def test_the_mean_is_that_of_all_counted_tokens_and_rows_that_say_the_same_have_no_spread():
    values = np.arange(12.0).reshape(3, 4)
    counted = values % 2 == 0
    mean = mean_of_rows(values, counted)
    assert (mean.value, mean.count) == (5.0, 6)
    same = mean_of_rows(np.full((3, 4), 2.0), counted)
    assert (same.value, same.low, same.high) == (2.0, 2.0, 2.0)
    assert mean_of_rows(values, values < 0) is None
    one = mean_of_rows(values, values < 2)
    assert (one.value, one.low, one.high) == (0.5, None, None)


def test_with_full_rows_the_interval_is_students_of_the_row_means():
    values = np.random.default_rng(0).normal(size=(9, 5))
    mean = mean_of_rows(values, np.ones((9, 5), bool))
    low, high = stats.t.interval(0.95, 8, values.mean(1).mean(), stats.sem(values.mean(1)))
    assert (mean.low, mean.high) == pytest.approx((low, high))


def test_an_interval_holds_the_truth_as_often_as_it_says_where_rows_count_unequally():
    """Tokens of a row share a shift; the number that counts in a row is random."""
    random, held = np.random.default_rng(1), 0
    for _ in range(1500):
        shift = random.normal(size=(40, 1))
        values = 3 + shift + random.normal(size=(40, 20))
        mean = mean_of_rows(values, random.random((40, 20)) < random.random((40, 1)))
        held += mean.low <= 3 <= mean.high
    assert 0.925 < held / 1500 < 0.965


@pytest.mark.parametrize(("right", "of"), [(0, 10), (3, 10), (10, 10), (300, 1014), (1, 1)])
def test_wilsons_interval_is_where_the_score_test_stops_rejecting(right, of):
    z = stats.norm.ppf(0.975)

    def score(p):
        return (right / of - p) ** 2 - z * z * p * (1 - p) / of

    low = 0.0 if right == 0 else optimize.brentq(score, 1e-12, right / of - 1e-12)
    high = 1.0 if right == of else optimize.brentq(score, right / of + 1e-12, 1 - 1e-12)
    assert wilson(right, of) == pytest.approx((low, high), abs=1e-9)
