"""Ratios: a worked example, coverage, and the case in which there is no interval."""

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.ratios import fieller, log_ratio


def test_fiellers_worked_example_is_reproduced_and_differs_from_the_delta_method():
    found = fieller(100.0, 80.0, 1.0, 1.0, 0.5, 9)
    assert found == pytest.approx((1.218186321313914, 1.2830140185468706))
    ratio, t = 1.25, stats.t.isf(0.025, 9)
    half = t * np.sqrt(1 - 2 * ratio * 0.5 + ratio**2) / 80
    assert (ratio - half, ratio + half) == pytest.approx((1.2176046673987209, 1.2823953326012791))


def test_no_finite_interval_exists_when_the_denominator_may_be_zero():
    assert fieller(100.0, 0.5, 1.0, 1.0, 0.5, 9) is None
    assert fieller(1.0, 0.0, 0.0, 0.0, 0.0, 9) is None


def test_fieller_contains_exactly_the_ratios_a_t_test_accepts():
    a, b, va, vb, cov = 3.0, -2.0, 0.2, 0.1, 0.05
    interval = fieller(a, b, va, vb, cov, 6)
    assert interval is not None
    for r in interval:
        t = (a - r * b) / np.sqrt(va - 2 * r * cov + r * r * vb)
        assert abs(t) == pytest.approx(stats.t.isf(0.025, 6))


def test_a_log_ratio_is_the_geometric_mean_and_inverts_with_the_arms():
    base, arm = np.array([10.0, 12.0, 11.0, 13.0]), np.array([8.0, 10.0, 9.5, 10.0])
    found, other = log_ratio(base, arm), log_ratio(arm, base)
    assert found.value == pytest.approx(stats.gmean(base / arm))
    assert found.interval == pytest.approx((1 / other.interval[1], 1 / other.interval[0]))
    assert found.p == other.p
    assert log_ratio(base, arm, paired=False).p > found.p


def test_times_that_are_not_positive_are_refused():
    with pytest.raises(ConfigError, match="above 0"):
        log_ratio(np.array([1.0, 0.0]), np.ones(2))
