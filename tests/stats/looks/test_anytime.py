"""The e-value against a worked example, numerical integration over its prior, and peeking."""

import numpy as np
import pytest
from scipy import integrate, stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import paired_t
from coregpt.stats.looks.anytime import confidence_sequence, e_value, e_value_of_t

GAINS = np.array([0.0012, 0.0009, 0.0015, 0.0007, 0.0011, 0.0013])


def test_the_worked_example_is_reproduced():
    found = paired_t(GAINS, np.zeros(6))
    assert (found.t, found.p) == pytest.approx((9.57142857142857, 0.00021082589132864562))
    assert e_value(GAINS) == pytest.approx(57.598940300438834)
    assert confidence_sequence(GAINS, 0.05) == pytest.approx((0.00048085436631726847, 0.001752478967016065))


@pytest.mark.parametrize(("t", "n", "g"), [(0.0, 3, 1.0), (2.0, 5, 1.0), (-4.0, 8, 0.3)])
def test_the_e_value_is_the_mean_likelihood_ratio_under_its_prior(t: float, n: int, g: float):
    def ratio(effect: float) -> float:
        return stats.nct.pdf(t, n - 1, effect * np.sqrt(n)) * stats.norm.pdf(effect, 0, np.sqrt(g))

    mean = integrate.quad(ratio, -12, 12, limit=400)[0] / stats.t.pdf(t, n - 1)
    assert float(e_value_of_t(t, n, g)) == pytest.approx(mean, rel=1e-5)


def test_the_sequence_excludes_exactly_the_means_whose_e_value_rejects():
    low, high = confidence_sequence(GAINS, 0.05)
    for edge, inward in ((low, 1), (high, -1)):
        assert e_value(GAINS - edge) == pytest.approx(20)
        assert e_value(GAINS - edge - inward * 1e-5) < 20


def test_two_gains_give_an_infinite_sequence():
    assert confidence_sequence(GAINS[:2], 0.01) == (-np.inf, np.inf)


def test_gains_without_spread_give_the_limit():
    assert e_value(np.full(5, 2.0)) == pytest.approx(float(e_value_of_t(1e9, 5)), rel=1e-6)
    assert e_value(np.zeros(5)) == pytest.approx(6**-0.5)


def test_one_pair_and_a_prior_without_width_are_refused():
    with pytest.raises(ConfigError, match="at least 2 pairs"):
        e_value(np.ones(1))
    with pytest.raises(ConfigError, match="g:"):
        e_value(GAINS, g=0.0)
