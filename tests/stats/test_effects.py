"""Effect sizes and what pairing bought."""

import numpy as np
import pytest

from coregpt.stats.effects import hedges_g, pairing


def test_hedges_g_is_nearly_unbiased_at_five_seeds():
    rng = np.random.default_rng(1)
    found = [hedges_g(rng.normal(1.0, 1, 5), rng.normal(0.0, 1, 5)) for _ in range(4000)]
    assert np.mean([g for g in found if g is not None]) == pytest.approx(1.0, abs=0.04)


def test_hedges_g_does_not_exist_without_noise():
    assert hedges_g(np.ones(4), np.zeros(4)) is None


def test_pairing_reports_the_correlation_and_the_variance_it_removed():
    luck = np.array([0.0, 1.0, 2.0, 3.0, 5.0])
    arm = luck + np.array([0.1, -0.1, 0.0, 0.1, -0.1])
    found = pairing(luck, arm)
    assert found is not None
    assert found.correlation == pytest.approx(np.corrcoef(luck, arm)[0, 1])
    assert found.worth == pytest.approx((luck.var() + arm.var()) / (luck - arm).var())
    assert found.interval is not None
    assert found.interval[0] < found.correlation < found.interval[1] <= 1


def test_pairing_against_anticorrelated_seeds_is_worth_less_than_one_seed():
    x = np.array([0.0, 1.0, 2.0, 3.5])
    found = pairing(x, -x + np.array([0.0, 0.1, 0.0, 0.2]))
    assert found is not None
    assert found.worth < 1


def test_pairing_is_undefined_without_noise_or_with_two_seeds():
    assert pairing(np.ones(4), np.arange(4.0)) is None
    assert pairing(np.arange(2.0), np.arange(2.0) ** 2) is None
