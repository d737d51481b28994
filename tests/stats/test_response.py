"""The fit of the response curve against numpy, numerical derivatives and simulation."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from coregpt.stats.bracket import next_rates
from coregpt.stats.response import Residual, Response, allowance, fit, mistuning, residual

RNG = np.random.default_rng(0)
FIVE = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
SILENT, LOUD = Residual(1e-12, 20), Residual(1.0, 20)
Tried = dict[float, list[float]]


def tried_at(x: np.ndarray, y: np.ndarray, seeds: int = 2) -> Tried:
    return {float(a): [float(b)] * seeds for a, b in zip(x, y, strict=True)}


def cubic_at(x: np.ndarray) -> np.ndarray:
    return 3 - 0.004 * x + 0.014 * x**2 + 0.004 * x**3


def test_a_parabola_is_that_of_polyfit():
    y = 3 + 0.014 * (FIVE - 0.2) ** 2 + RNG.normal(0, 0.001, 5)
    found = fit(tried_at(FIVE + 2, y) | {0.0: [9.0, 9.0]}, LOUD)
    a, b, c = np.polyfit(FIVE + 2, y, 2)
    assert (found.kind, found.tuned, found.edge) == ("parabola", True, "none")
    assert found.minimum == pytest.approx(-b / 2 / a)
    assert found.optimum == found.minimum
    assert found.curvature == pytest.approx(2 * a)
    assert found.coefficients == pytest.approx((c, b, a))
    assert found.at(FIVE) == pytest.approx(np.polyval([a, b, c], FIVE))


def test_a_cubic_is_taken_where_a_parabola_does_not_fit():
    found = fit(tried_at(FIVE, cubic_at(FIVE)), SILENT)
    true = optimize.minimize_scalar(lambda x: float(cubic_at(np.array(x))), bounds=(-0.5, 1), method="bounded").x
    assert found.kind == "cubic"
    assert found.minimum == pytest.approx(true, abs=1e-4)
    assert found.curvature == pytest.approx(0.028 + 0.024 * true, abs=1e-5)
    assert fit(tried_at(FIVE, cubic_at(FIVE)), LOUD).kind == "parabola"


@pytest.mark.parametrize("sd", [0.002, 0.003, 0.004])
def test_lack_of_fit_is_an_f_test_at_a_fifth(sd: float):
    y = cubic_at(FIVE)
    misfit = float(((y - np.polyval(np.polyfit(FIVE, y, 2), FIVE)) ** 2).sum())
    noise = Residual(sd**2, 8)
    significant = stats.f.sf(misfit / 2 / (noise.variance / 2), 2, 8) < 0.2
    assert (fit(tried_at(FIVE, y), noise).kind == "cubic") == significant


def test_three_points_beside_a_cliff_are_fitted_and_the_rate_keeps_away_from_it():
    y = 3 + 0.014 * (FIVE[:3] - 0.4) ** 2
    tried = tried_at(FIVE[:3], y) | {0.5: [3.0, math.inf], 1.0: [math.inf, math.inf]}
    found = fit(tried, SILENT)
    assert found.cliff == 0.5
    assert found.minimum == pytest.approx(0.4)
    assert found.optimum == 0.25
    assert found.tuned


def test_the_optimum_stays_within_half_an_octave_of_the_best_point():
    y = np.array([3.0, 2.97, 2.95, 2.94, 2.935])
    found = fit(tried_at(FIVE, y) | {2.0: [2.95, 2.95]}, LOUD)
    a, b, _ = np.polyfit(np.array([0.0, 0.5, 1.0, 2.0]), [2.95, 2.94, 2.935, 2.95], 2)
    assert found.minimum == pytest.approx(-b / 2 / a)
    y = np.array([2.99, 2.97, 2.95, 2.96, 2.951])
    found = fit(tried_at(FIVE, y), LOUD)
    assert found.minimum is not None
    assert found.minimum > 0.5
    assert found.optimum == 0.5


def test_a_fit_without_a_minimum_takes_the_best_point():
    found = fit(tried_at(FIVE, np.array([3.0, 3.2, 2.99, 3.2, 3.0])), LOUD)
    assert (found.kind, found.optimum, found.minimum, found.tuned) == ("best point", 0.0, None, True)
    assert mistuning(found, 0.02) == pytest.approx(math.sqrt(0.01 / 2))


def test_an_edge_or_too_few_points_leave_an_arm_untuned():
    rising = fit(tried_at(np.arange(-5.0, 2), np.arange(7.0)), SILENT)
    assert (rising.tuned, rising.edge, rising.optimum) == (False, "low", -5.0)
    assert "lowest" in rising.why_not
    lost = {x: [math.inf, math.inf] for x in np.arange(-5.0, 2)}
    assert (fit(lost, SILENT).tuned, fit(lost, SILENT).optimum) == (False, None)
    thin = {0.0: [3.0, 3.0], -0.5: [3.1, 3.1]} | {x: [math.inf, 3.0] for x in (-1.0, 0.5, 1.0)}
    found = fit(thin, SILENT)
    assert (found.tuned, found.optimum, found.cliff) == (False, 0.0, 0.5)
    assert "at least 3" in found.why_not


def test_the_pooled_residual_is_that_of_a_two_way_analysis_of_variance():
    arms, squares, df = [], 0.0, 0
    for rates in (3, 5):
        y = RNG.normal(0, 1, (rates, 4)) + RNG.normal(0, 5, 4) + RNG.normal(0, 5, (rates, 1))
        design = np.hstack([np.kron(np.eye(rates), np.ones((4, 1))), np.kron(np.ones((rates, 1)), np.eye(4))])
        squares += _rest(design, y.ravel())
        df += y.size - int(np.linalg.matrix_rank(design))
        within = {float(x): list(row) for x, row in zip(np.linspace(0, 1, rates), y, strict=True)}
        arms.append(within | {0.9: [math.inf, 1, 1, 1], 3.0: [99.0, 12.0, 55.0, 70.0]})  # diverged, and far away
    found = residual(arms)
    assert (found.variance, found.df) == (pytest.approx(squares / df), df)


def _rest(design: np.ndarray, y: np.ndarray) -> float:
    return float(((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum())


def test_nothing_finished_leaves_no_residual():
    assert residual([{0.0: [1.0, math.inf]}]).df == 0


def test_one_tuning_seed_says_nothing_about_noise():
    alone = tried_at(FIVE, cubic_at(FIVE), seeds=1)
    assert residual([alone]).df == 0
    with pytest.raises(ValueError, match="at least 2 tuning seeds"):
        fit(alone, residual([alone]))


def test_runs_without_noise_are_as_sure_as_the_curve_fits_them():
    tried = tried_at(FIVE, cubic_at(FIVE) - 0.0003 * np.array([1, -4, 6, -4, 1.0]))
    found = fit(tried, residual([tried]))
    assert found.expected_loss == pytest.approx(fit(tried, Residual(1e-12, 20)).expected_loss)
    assert fit(tried_at(FIVE, FIVE**2), Residual(0.0, 4)).optimum == pytest.approx(0.0)


@pytest.mark.parametrize(("shape", "noise"), [(lambda x: 0.014 * (x - 0.1) ** 2, LOUD), (cubic_at, SILENT)])
def test_the_delta_method_agrees_with_numerical_derivatives(shape, noise: Residual):
    """Var(x) = v sum (dx/dy_i)^2 over independent mean losses y_i."""
    y = shape(FIVE)
    found = fit(tried_at(FIVE, y), noise)
    slopes = []
    for i in range(5):
        step = 1e-6 * (np.arange(5) == i)
        ends = [fit(tried_at(FIVE, y + sign * step), noise).minimum or 0 for sign in (1, -1)]
        slopes.append((ends[0] - ends[1]) / 2e-6)
    variance = noise.variance / 2 * sum(s * s for s in slopes)
    assert found.interval is not None
    assert found.expected_loss is not None
    assert found.curvature is not None
    assert found.expected_loss == pytest.approx(found.curvature / 2 * variance, rel=1e-4)
    half = stats.t.isf(0.025, 20) * math.sqrt(variance)
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * half, rel=1e-4)


def test_the_expected_loss_is_the_mean_loss_of_simulated_brackets():
    """Noise small against the curve, where the delta method is exact, and parabolas alone.

    A cubic that is taken because noise made the parabola fit badly loses more than it says. A bad fit adds to what is
    said (`test_a_curve_that_misses_its_points_...`), which is compared with the definition: the variance of
    the slope b + 2cx at the bottom, where Var(b) = v / 2.5 and Var(c) = v / 0.875, over q''^2.
    """
    sigma, c, bottom, seeds = 0.002, 0.1, 0.13, 3
    lost, said, hits = [], [], []
    for _ in range(500):
        luck = RNG.normal(0, 0.01, seeds)
        tried: Tried = {}
        while rates := next_rates(tried):
            for x in rates:
                tried[x] = list(c * (x - bottom) ** 2 + luck + RNG.normal(0, sigma, seeds))
        found = fit(tried, Residual(sigma**2, 1000))
        if found.kind != "parabola":
            continue
        assert found.optimum is not None
        assert found.interval is not None
        lost.append(c * (found.optimum - bottom) ** 2)
        said.append(found.expected_loss or 0)
        hits.append(found.interval[0] < bottom < found.interval[1])
    assert 0.75 < len(lost) / 500 < 0.85
    exact = c * sigma**2 / seeds * (1 / 2.5 + 4 * bottom**2 / 0.875) / (2 * c) ** 2
    assert np.mean(lost) == pytest.approx(exact, rel=0.2)
    assert np.quantile(said, 0.1) == pytest.approx(exact, rel=0.1)
    assert np.mean(said) < 1.3 * exact
    assert np.mean(hits) == pytest.approx(0.955, abs=0.03)


def test_a_curve_that_misses_its_points_by_more_than_noise_knows_its_minimum_less_well():
    """The covariance grows by the mean square of the misses over the noise, as `numpy.polyfit` scales it."""
    y = cubic_at(FIVE) - 0.0003 * np.array([1, -4, 6, -4, 1.0])
    quiet, found = Residual(2e-9, 20), fit(tried_at(FIVE, y), Residual(2e-8, 20))
    assert found.kind == "cubic"
    coefficients, covariance = np.polyfit(FIVE, y, 3, cov=True)
    assert found.minimum is not None
    assert found.curvature is not None
    gradient = np.array([3 * found.minimum**2, 2 * found.minimum, 1, 0])
    assert found.expected_loss == pytest.approx(gradient @ covariance @ gradient / 2 / found.curvature)
    assert fit(tried_at(FIVE, y), quiet).expected_loss == pytest.approx(found.expected_loss)
    assert found.curvature == pytest.approx(np.polyval(np.polyder(coefficients, 2), found.minimum))


def test_mistuning_is_bounded_by_the_error_of_a_tuning_mean():
    y = 3 + 0.014 * FIVE**2
    steep, flat = fit(tried_at(FIVE, y), Residual(1e-8, 8)), fit(tried_at(FIVE, 3 + 1e-9 * FIVE**2), Residual(1e-4, 8))
    assert mistuning(steep, 2e-4) == steep.expected_loss
    assert mistuning(flat, 2e-4) == pytest.approx(math.sqrt(1e-4 / 2))


def test_the_allowance():
    assert allowance(0.01, 0.02) == pytest.approx(8 * (0.01**2 + 0.02**2))


def test_a_response_does_not_depend_on_the_order_of_rates():
    y = cubic_at(FIVE)
    a, b = (fit(dict(sorted(tried_at(FIVE, y).items(), reverse=r)), SILENT) for r in (False, True))
    assert isinstance(a, Response)
    assert a == b
