"""Simulated chains: the vectorised confirmation is the rule written out, and effects, false claims and power add up."""

import numpy as np
import pytest

from coregpt.stats.calibration import chains, curves, tuned
from coregpt.stats.calibration.chains import Case, confirm, simulate
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rows import kept
from coregpt.stats.lond import level


def noise(seed: int = 0) -> Noise:
    return Noise("normal", np.random.default_rng(seed))


def test_confirmations_of_many_chains_are_those_of_each():
    rng = np.random.default_rng(0)
    candidate, gain, p = rng.random((40, 12)) < 0.4, rng.normal(size=(40, 12)), rng.random((40, 12)) ** 4
    for row, found in enumerate(confirm(candidate, gain, p)):
        confirmed = 0
        for k, idea in enumerate(np.flatnonzero(candidate[row]), 1):
            better = gain[row, idea] > 0 and p[row, idea] < level(0.05, k, confirmed)
            assert found[idea] == better
            confirmed += better
        assert not found[~candidate[row]].any()


def test_ideas_without_effect_are_seldom_confirmed_and_large_ones_mostly():
    null = simulate(Case(), noise(), 400)
    assert null.any_false.mean() < 0.05
    assert abs(null.candidate.mean() - chains.SCREEN / 2) < 0.02
    strong = simulate(Case(real=3, effect=4.0), noise(), 100)
    assert strong.found.mean() > 0.95
    assert (strong.real.sum(1) == 3).all()


def test_tested_without_levels_the_same_chains_are_wrong_far_too_often(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chains.lond, "level", lambda alpha, k, confirmed: np.full(len(k), alpha))
    assert simulate(Case(), noise(), 400).any_false.mean() > 0.05


def test_p_values_decide_as_the_bracketed_test_does():
    rng = noise(3)
    optima = rng.rng.uniform(-1, 1, (300, 2))
    found = tuned.tune(curves.draw_losses(curves.CLIFF, rng, optima, tuned.GRID, 2))
    y = curves.draw_losses(curves.CLIFF, rng, optima, found.optimum[..., None], 6)[:, :, 0]
    _, p = tuned.p_values(found, y)
    for alpha in (0.05, 0.2):
        np.testing.assert_array_equal((p < alpha).any(-1), tuned.rejects(found, y, alpha))


def test_a_baseline_that_diverges_alone_can_lose_by_ranks_and_an_arm_cannot_win_so():
    y = np.array([[[1.0] * 10 + [np.inf] * 2, np.linspace(0.1, 0.9, 12)], [np.linspace(0.1, 0.9, 12), [np.inf] * 12]])
    gain, p = chains._tested(y, np.array([[True, True]]))
    assert gain[0, 0] > 0
    assert p[0, 0] < 0.01
    assert p[0, 1] == 1


def test_arms_with_fewer_tuning_seeds_are_fitted_by_those_alone():
    """Further seeds of an arm, however they came out, change nothing; with all seeds equal it is the plain fit."""
    rng = noise(4)
    optima = rng.rng.uniform(-1, 1, (200, 2))
    losses = curves.draw_losses(curves.GPT, rng, optima, tuned.GRID, 6)
    few = tuned.tune(losses, np.array([6, 2]))
    losses[:, 1, :, 2:] = np.inf
    again = tuned.tune(losses, np.array([6, 2]))
    for one, other in zip(few, again, strict=True):
        np.testing.assert_array_equal(one, other)
    alike = tuned.tune(losses[..., :2])
    masked = tuned.tune(losses, np.array([2, 2]))
    np.testing.assert_allclose(masked.optimum, alike.optimum, rtol=1e-9)
    np.testing.assert_array_equal(masked.rates, alike.rates)


def test_rows_name_what_they_promise():
    found = list(chains.rows(noise(), 40))
    assert {row.kind for row in found} == {"false positives", "power at least"}
    assert len(found) == 3 * len(chains.CASES) // 2
    assert all(kept(found))
