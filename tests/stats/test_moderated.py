"""Borrowed variance: a worked example, recovery of a known prior, and its effect on the t-test."""

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import paired_t
from coregpt.stats.moderated import VariancePrior, moderated_paired_t, moderated_two_sample_t, variance_prior


def test_the_worked_example_is_reproduced():
    prior = variance_prior([1.2, 0.8, 1.5, 0.9, 3.5, 0.4], [4] * 6)
    assert (prior.df, prior.history_df) == (np.inf, 24)
    assert prior.variance == pytest.approx(1.4472356924265612)


def test_the_fit_recovers_the_prior_that_made_the_variances():
    rng = np.random.default_rng(0)
    true = 2.5 * 10 / rng.chisquare(10, 20_000)
    prior = variance_prior((true * rng.chisquare(6, 20_000) / 6).tolist(), [6] * 20_000)
    assert (prior.df, prior.variance) == pytest.approx((10, 2.5), rel=0.06)


def test_never_more_is_borrowed_than_the_history_holds():
    variance, df = VariancePrior(np.inf, 1.0, 8.0).blend(4.0, 2.0)
    assert (variance, df) == pytest.approx(((8 * 1.0 + 2 * 4.0) / 10, 10))


def test_without_a_history_the_moderated_test_is_students():
    a, b = np.array([1.0, 1.4, 0.9, 1.2]), np.array([0.8, 0.9, 0.7, 1.1])
    nothing = VariancePrior(0.0, 1.0, 10.0)
    assert moderated_paired_t(a, b, nothing) == paired_t(a, b)
    assert moderated_two_sample_t(a, b[:3], nothing).p == pytest.approx(stats.ttest_ind(a, b[:3]).pvalue)


def test_a_history_gives_three_seeds_power():
    # Same direction in every seed; the history says the noise is what these three show.
    a, b = np.array([3.2, 3.1, 3.3]), np.array([3.0, 3.0, 3.1])
    alone = paired_t(a, b)
    assert moderated_paired_t(a, b, VariancePrior(20.0, alone.se**2 * 3, 100.0)).p < alone.p / 5


@pytest.mark.parametrize(("variances", "dfs"), [([1.0], [4]), ([1.0, 0.0], [4, 4]), ([1.0, 2.0], [4])])
def test_a_history_that_cannot_be_used_is_refused(variances: list[float], dfs: list[float]):
    with pytest.raises(ConfigError, match="history"):
        variance_prior(variances, dfs)
