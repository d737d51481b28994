"""Trends over sizes against scipy's regression, exact arithmetic and simulation."""

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.trend import trend

RUNS = 4000
SIZES = (1e6, 1e7, 1e8, 1e9, 1e10)


def test_from_five_sizes_on_it_is_ordinary_regression() -> None:
    gaps = np.array([0.05, 0.041, 0.043, 0.02, 0.025])
    found = trend(SIZES, gaps, [0.01] * 5, [4] * 5)
    line = stats.linregress(np.log10(SIZES), gaps)
    assert found.random
    assert found.slope.gain == pytest.approx(line.slope)
    assert found.slope.se == pytest.approx(line.stderr)
    assert found.slope.p == pytest.approx(line.pvalue)
    assert found.at_largest.gain == pytest.approx(line.intercept + 10 * line.slope)
    assert found.at_smallest.gain == pytest.approx(line.intercept + 6 * line.slope)


def test_three_sizes_a_decade_apart_compare_the_ends() -> None:
    # Slope = (d3 - d1) / 2: Welch's test of two means with the standard errors given.
    found = trend(SIZES[:3], [0.05, 0.01, 0.03], [0.003, 9.0, 0.004], [4, 4, 6])
    se = (0.003**2 + 0.004**2) ** 0.5
    df = se**4 / (0.003**4 / 4 + 0.004**4 / 6)
    assert not found.random
    assert found.slope.gain == pytest.approx(-0.01)
    assert found.slope.se == pytest.approx(se / 2)
    assert found.slope.df == pytest.approx(df)
    # The value at the largest size is d1 * -1/6 + d2 * 1/3 + d3 * 5/6.
    assert found.at_largest.gain == pytest.approx(-0.05 / 6 + 0.01 / 3 + 0.03 * 5 / 6)
    assert found.at_largest.se == pytest.approx(((0.003 / 6) ** 2 + 3.0**2 + (0.004 * 5 / 6) ** 2) ** 0.5)


def test_sizes_that_cannot_carry_a_line_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 3 different sizes"):
        trend([1e6, 1e7], [0.1, 0.2], [0.1, 0.1], [4, 4])
    with pytest.raises(ConfigError, match="at least 3 different sizes"):
        trend([1e6, 1e6, 1e7], [0.1, 0.1, 0.2], [0.1] * 3, [4] * 3)


def _null_studies(sizes: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaps without a trend and their estimated standard errors: 5 seeds; the last size is `noise` times as noisy."""
    rng = np.random.default_rng(seed)
    sd = np.geomspace(1, noise, sizes)
    gaps = rng.normal(size=(RUNS, sizes)) * sd
    return gaps, sd * np.sqrt(rng.chisquare(4, (RUNS, sizes)) / 4)


@pytest.mark.parametrize(("sizes", "noise"), [(3, 1.0), (4, 1.0), (4, 1 / 3), (5, 1.0)])
def test_a_trend_that_is_not_there_is_called_as_rarely_as_alpha_says(sizes: int, noise: float) -> None:
    gaps, errors = _null_studies(sizes, noise)
    found = [trend(SIZES[:sizes], d, se, [4] * sizes) for d, se in zip(gaps, errors, strict=True)]
    for rate in ([t.slope.p < 0.05 for t in found], [t.at_largest.p < 0.05 for t in found]):
        assert 0.03 < np.mean(rate) <= 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5 + 0.005


def test_inverse_variance_weights_would_call_it_too_often() -> None:
    """Why every size counts alike."""
    gaps, errors = _null_studies(4, 1.0)
    x, w = np.arange(4.0), 1 / errors**2
    mean = (w * x).sum(1, keepdims=True) / w.sum(1, keepdims=True)
    spread = (w * (x - mean) ** 2).sum(1)
    t = (w * (x - mean) * gaps).sum(1) / spread * np.sqrt(spread)
    assert np.mean(2 * stats.t.sf(abs(t), 16) < 0.05) > 0.08
    alike = np.mean([trend(SIZES[:4], d, se, [4] * 4).slope.p < 0.05 for d, se in zip(gaps, errors, strict=True)])
    assert alike < 0.065
    assert (gaps @ (x - 1.5) / 5).std() < ((w * (x - mean) * gaps).sum(1) / spread).std()


def test_sizes_that_stray_from_the_line_by_themselves_make_no_trend() -> None:
    """Five sizes with a random term four times the noise: the noise within sizes alone would be fooled."""
    rng = np.random.default_rng(1)
    gaps = rng.normal(0, 4, (RUNS, 5)) + rng.normal(0, 1, (RUNS, 5))
    rate = np.mean([trend(SIZES, d, [1.0] * 5, [4] * 5).slope.p < 0.05 for d in gaps])
    assert rate == pytest.approx(0.05, abs=0.012)
