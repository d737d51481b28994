"""Benjamini-Hochberg on published examples."""

import pytest
from scipy import stats

from coregpt.stats.contrasts import holm
from coregpt.stats.screening import benjamini_hochberg, screened

BH1995 = [
    0.0001,
    0.0004,
    0.0019,
    0.0095,
    0.0201,
    0.0278,
    0.0298,
    0.0344,
    0.0459,
    0.324,
    0.4262,
    0.5719,
    0.6528,
    0.759,
    1.0,
]


def test_the_1995_example_is_reproduced_and_finds_one_more_than_holm():
    adjusted = benjamini_hochberg(BH1995)
    expected = [
        0.0015,
        0.003,
        0.0095,
        0.035625,
        0.0603,
        0.063857,
        0.063857,
        0.0645,
        0.0765,
        0.486,
        0.581182,
        0.714875,
        0.753231,
        0.813214,
        1.0,
    ]
    assert adjusted == pytest.approx(expected, abs=1e-6)
    assert sum(screened(BH1995, 0.05)) == 4
    by_holm = [0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.278, 0.278, 0.278, 0.3213, 1, 1, 1, 1, 1, 1]
    assert holm(BH1995) == pytest.approx(by_holm)


def test_a_small_example_with_every_correction():
    p = [0.01, 0.04, 0.03, 0.005]
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [min(1.0, 4 * value) for value in p] == pytest.approx([0.04, 0.16, 0.12, 0.02])
    # Every Holm value lies between the false-discovery and the Bonferroni one.
    assert all(a <= b for a, b in zip(benjamini_hochberg(p), holm(p), strict=True))


def test_it_agrees_with_scipy_and_ignores_order():
    assert benjamini_hochberg(BH1995[::-1]) == pytest.approx(list(stats.false_discovery_control(BH1995[::-1])))


def test_a_screen_of_nothing_passes_nothing_on():
    assert benjamini_hochberg([]) == []
    assert screened([0.5, 0.9]) == [False, False]
