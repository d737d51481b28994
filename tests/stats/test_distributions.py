"""Dunnett's distribution and t power against tables, exact special cases and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from coregpt.stats.distributions import (
    dunnett_critical,
    dunnett_p,
    equivalence_power,
    noise_ratio_nodes,
    two_sided_power,
)


@pytest.mark.parametrize(
    ("df", "expected"),
    [
        (10, [2.228, 2.568, 2.759, 2.890, 2.990]),
        (20, [2.086, 2.378, 2.540, 2.651, 2.734]),
        (60, [2.000, 2.265, 2.410, 2.508, 2.582]),
        (math.inf, [1.960, 2.212, 2.349, 2.442, 2.511]),
    ],
)
def test_critical_values_match_dunnetts_table(df: float, expected: list[float]):
    assert [dunnett_critical(0.05, k, df) for k in range(1, 6)] == pytest.approx(expected, abs=1e-3)


def test_one_contrast_is_students_t():
    for t in (0.0, 1.3, 4.0, 12.0):
        assert dunnett_p(t, 1, 7) == pytest.approx(2 * stats.t.sf(t, 7), rel=1e-6)


@pytest.mark.parametrize("t", [0.5, 2.0, 5.0, 9.0, 13.0])
@pytest.mark.parametrize("df", [4, 28])
def test_dunnett_p_lies_between_the_unadjusted_and_the_bonferroni_p(t: float, df: int):
    alone = 2 * stats.t.sf(t, df)
    assert alone <= dunnett_p(t, 4, df) <= min(1.0, 4 * alone) * (1 + 1e-9)


def test_dunnett_p_agrees_with_scipys_unblocked_test_on_equal_groups():
    rng = np.random.default_rng(1)
    control, *groups = rng.normal(0, 1, (4, 9)) + np.array([[0], [0.4], [0.9], [-1.2]])
    reference = stats.dunnett(*groups, control=control, random_state=0)
    for t, p in zip(reference.statistic, reference.pvalue, strict=True):
        assert dunnett_p(float(t), 3, 32) == pytest.approx(p, abs=1e-3)


def test_noise_ratio_weights_are_a_probability_with_mean_square_one():
    for df in (1, 2, 5, 40, 5000):
        s, w = noise_ratio_nodes(df)
        assert (w.sum(), w @ s**2) == pytest.approx((1.0, 1.0), abs=1e-6)


def test_power_without_an_effect_is_alpha():
    assert two_sided_power(float(stats.t.isf(0.025, 5)), 5, 0.0) == pytest.approx(0.05, abs=1e-6)


def test_power_agrees_with_the_noncentral_t_where_that_works():
    expected = stats.nct.sf(2.2, 9, 3.0) + stats.nct.cdf(-2.2, 9, 3.0)
    assert two_sided_power(2.2, 9, 3.0) == pytest.approx(expected, rel=1e-6)


def test_power_is_finite_where_the_noncentral_t_breaks_down():
    assert two_sided_power(63.6567, 1, 30.0) == pytest.approx(0.36, abs=0.03)


def test_equivalence_power_agrees_with_simulation():
    rng = np.random.default_rng(2)
    d = rng.normal(0, 1, (40_000, 6))
    room = 2.5 / math.sqrt(6) * 1.6
    half = stats.t.isf(0.05, 5) * d.std(1, ddof=1) / math.sqrt(6)
    hits = np.mean(np.abs(d.mean(1)) + half < room)
    assert equivalence_power(room * math.sqrt(6), 5, 0.05) == pytest.approx(hits, abs=0.008)
