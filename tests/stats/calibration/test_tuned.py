"""Bracketing many studies at once ends as bracketing each of them does."""

import math

import numpy as np
import pytest

from coregpt.stats.bracket import best_rate, next_rates
from coregpt.stats.calibration import curves, tuned
from coregpt.stats.calibration.curves import Curve
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.contrasts import paired_t, with_allowance
from coregpt.stats.response import allowance, fit, mistuning, residual

LOUD_CLIFF = Curve("loud cliff", 0.02, curves.parabola(0.014), diverges=0.4)
ALWAYS_DOWN = Curve("rising", 0.001, lambda distance: 0.1 * np.exp2(distance))
LOST = Curve("lost", 0.001, curves.parabola(0.1), diverges=-6.5)
CURVES = [curves.SMOOTH, curves.FLAT, curves.LION, curves.GPT_LUCK, LOUD_CLIFF, ALWAYS_DOWN, LOST]


def bracketed(losses: np.ndarray) -> dict[float, list[float]]:
    """What one arm tries, of losses (places, seeds) on the whole grid."""
    tried: dict[float, list[float]] = {}
    while rates := next_rates(tried):
        tried |= {x: list(losses[int(2 * x) + 10]) for x in rates}
    return tried


@pytest.mark.parametrize(
    "curve",
    [curves.SMOOTH, curves.FLAT, curves.LION, curves.GPT_LUCK, LOUD_CLIFF, ALWAYS_DOWN, LOST],
    ids=lambda c: c.name,
)
@pytest.mark.parametrize("spread", [1.0, 4.5])
def test_tuning_of_many_studies_is_that_of_each(curve: Curve, spread: float):
    noise = Noise("normal", np.random.default_rng(0))
    optima = noise.rng.uniform(-spread, spread, (60, 2))
    losses = curves.draw_losses(curve, noise, optima, tuned.GRID, 3)
    y = noise.study(60, 2, 6) * curve.sigma
    found = tuned.tune(losses)
    called = tuned.rejects(found, y, 0.2)
    for i in range(len(optima)):
        arms = [bracketed(losses[i, arm]) for arm in (0, 1)]
        pooled = residual(arms)
        responses = [fit(tried, pooled) for tried in arms]
        for arm, (tried, response) in enumerate(zip(arms, responses, strict=True)):
            assert found.rates[i, arm] == len(tried)
            assert found.tuned[i, arm] == response.tuned
            expected = best_rate(tried) if response.optimum is None else response.optimum
            assert found.optimum[i, arm] == pytest.approx(expected)
            loss = math.inf if response.expected_loss is None else response.expected_loss
            assert found.loss[i, arm] == pytest.approx(loss)
            assert found.cliff[i, arm] == (math.inf if response.cliff is None else response.cliff)
        if not all(response.tuned for response in responses):
            assert not called[i]
            continue
        u_b, u_a = (mistuning(response, float((y[i, 0] - y[i, 1]).var(ddof=1))) for response in responses)
        assert called[i] == (with_allowance(paired_t(y[i, 0], y[i, 1]), allowance(u_a, u_b)).p < 0.2)


def test_the_cases_above_hold_what_they_are_for():
    noise = Noise("normal", np.random.default_rng(0))
    optima = noise.rng.uniform(-1, 1, (200, 2))
    found = {
        curve.name: tuned.tune(curves.draw_losses(curve, noise, optima, tuned.GRID, 3))
        for curve in (curves.FLAT, LOUD_CLIFF, ALWAYS_DOWN, LOST)
    }
    assert not np.isfinite(found["flat"].loss).all()
    assert np.isfinite(found["loud cliff"].cliff).any()
    assert not found["rising"].tuned.any()
    assert (found["lost"].rates == 7).all()


def test_an_arm_that_diverged_in_the_test_is_not_decided():
    noise = Noise("normal", np.random.default_rng(0))
    losses = curves.draw_losses(curves.SMOOTH, noise, np.zeros((1, 3)), tuned.GRID, 3)
    found = tuned.tune(losses)
    y = noise.study(1, 3, 6) - np.array([0.0, 90.0, 0.0])[:, None]
    assert tuned.rejects(found, y, 0.05)[0]
    y[0, 1, 2] = np.inf
    assert not tuned.rejects(found, y, 1e-6)[0]
