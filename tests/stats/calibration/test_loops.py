"""Loops of ideas: a thousand of them keep the rate of false discoveries, and find what is there."""

import numpy as np
import pytest
from scipy import stats

from coregpt.stats.calibration import loops
from coregpt.stats.calibration.loops import Loop, simulate
from coregpt.stats.calibration.noise import Noise, noises
from coregpt.stats.calibration.rows import kept
from coregpt.stats.looks import giving_up

LOOPS = 1000


@pytest.mark.parametrize("noise", noises(3), ids=lambda noise: noise.name)
def test_a_thousand_loops_of_thirty_ideas_keep_the_promise(noise: Noise) -> None:
    """Two real ideas of 30: the share of loops with a false discovery bounds the rate, by Clopper and Pearson."""
    made = simulate(Loop(2), noise, LOOPS)
    wrong = int(made.any_false.sum())
    assert stats.binomtest(wrong, LOOPS).proportion_ci(0.99).high < 0.05
    assert made.false_share.mean() <= 0.05
    assert made.found.mean() > 0.82


def test_ideas_without_effect_are_candidates_as_often_as_the_screen_says() -> None:
    made = simulate(Loop(0), Noise("normal", np.random.default_rng(0)), 300)
    assert made.candidate.mean() == pytest.approx(0.096, abs=0.012)
    assert not made.real.any()


def test_a_baseline_that_moves_carries_what_was_confirmed_and_costs_little() -> None:
    moved, stayed = (simulate(Loop(2, moves=m), Noise("normal", np.random.default_rng(1)), 600) for m in (True, False))
    assert abs(moved.found.mean() - stayed.found.mean()) < 0.05


def test_every_line_is_kept_and_a_loop_that_confirms_at_alpha_each_time_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = list(loops.rows(Noise("normal", np.random.default_rng(0)), 300))
    assert all(kept(rows))
    monkeypatch.setattr(loops.lond, "level", lambda alpha, k, confirmed: np.full(len(k), 0.3))
    rows = list(loops.rows(Noise("normal", np.random.default_rng(0)), 300))
    broken = [row.procedure for row, ok in zip(rows, kept(rows), strict=True) if not ok]
    assert any("any false" in name for name in broken)


def test_a_rule_that_gives_up_too_soon_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "RULE", giving_up.Screening(6, 0.2, chance=0.4))
    rows = list(loops.rows(Noise("normal", np.random.default_rng(0)), 300))
    broken = [row.procedure for row, ok in zip(rows, kept(rows), strict=True) if not ok]
    assert any("given up" in name for name in broken)
