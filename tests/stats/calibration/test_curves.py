"""Curves keep the numbers they are made from."""

import numpy as np
import pytest

from coregpt.stats.calibration import curves
from coregpt.stats.calibration.noise import Noise

# Final losses of a public sweep of optimizers at 130M parameters, at half, once, twice ... the best learning rate.
SWEEP = [
    (curves.ADAMW, {-1: 3.54958, 0: 3.52914, 1: 3.53816}),
    (curves.MUON, {-1: 3.4913, 0: 3.4636, 1: 3.4845, 2: 3.5347, 3: 3.6879}),
    (curves.KRON, {-2: 3.5276, -1: 3.5007, 0: 3.4925, 1: 3.5136}),
    (curves.LION, {-1: 3.2544, 0: 3.2517, 1: 3.3095}),
]


@pytest.mark.parametrize(("curve", "losses"), SWEEP, ids=lambda x: getattr(x, "name", ""))
def test_a_curve_of_the_sweep_goes_through_its_losses_and_is_lowest_at_the_best(curve, losses):
    for octaves, loss in losses.items():
        assert float(curve.shape(np.array(octaves))) == pytest.approx(loss - losses[0], abs=2e-4)
    everywhere = np.linspace(-9, 9, 1001)
    assert (curve.shape(everywhere) >= 0).all()
    assert (np.sign(np.diff(curve.shape(everywhere))) == np.sign(everywhere[:-1] + everywhere[1:])).all()


def test_the_laptop_curve_loses_what_gpt_lost_half_an_octave_up():
    assert 0.09 < float(curves.GPT.shape(np.array(0.5))) < 0.26
    luck = np.zeros(4000)
    lost = curves.GPT_LUCK.losses(np.array(0.5), luck, np.random.default_rng(0))
    assert lost.mean() == pytest.approx(0.18, abs=0.01)
    assert 0.09 < lost.min() < lost.max() < 0.28


def test_half_of_the_runs_diverge_at_the_cliff():
    y = curves.CLIFF.losses(np.array([[1.0], [1.3], [1.6]]), np.zeros((3, 4000)), np.random.default_rng(0))
    assert np.isinf(y).mean(1) == pytest.approx([0.0013, 0.5, 0.9987], abs=0.03)


def test_seeds_share_their_luck_over_arms_and_rates():
    noise = Noise("normal", np.random.default_rng(0))
    flat = curves.Curve("nothing", 2.0, curves.parabola(0.0))
    y = curves.draw_losses(flat, noise, np.zeros((5000, 2)), np.array([0.0, 1.0, 2.0]), 2)
    assert y.shape == (5000, 2, 3, 2)
    assert y.std() == pytest.approx(2.0, rel=0.02)
    assert np.corrcoef(y[:, 0, 0, 0], y[:, 1, 2, 0])[0, 1] == pytest.approx(0.45, abs=0.04)
    assert np.corrcoef(y[:, 0, 0, 0], y[:, 0, 0, 1])[0, 1] == pytest.approx(0.0, abs=0.04)
