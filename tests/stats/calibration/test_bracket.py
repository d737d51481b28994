"""Null rates of bracketed studies, and that a rule which hides its tuning error is noticed."""

from dataclasses import replace

import numpy as np
import pytest

from coregpt.stats.calibration import bracket, curves, tuned
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rows import kept, of_flags


def rate(case: bracket.Case, studies: int = 3000) -> float:
    return float(bracket.hits(case, Noise("normal", np.random.default_rng(0)), studies).mean())


def test_every_promise_is_kept_in_a_small_calibration():
    rows = list(bracket.rows(Noise("normal", np.random.default_rng(0)), 1000))
    assert [row.procedure for row, ok in zip(rows, kept(rows), strict=True) if not ok] == []
    assert {row.nominal for row in rows} == {0.05}
    assert len({row.procedure for row in rows}) == len(bracket.CASES)


def test_without_the_allowance_luck_of_tuning_becomes_a_verdict(monkeypatch: pytest.MonkeyPatch):
    """A flat curve, two tuning seeds and many test seeds: more than twice the promised rate."""
    case = bracket.Case(curves.FLAT, n=30, same=True, m=2)
    assert rate(case) < 0.05
    rejects = tuned.rejects
    monkeypatch.setattr(tuned, "rejects", lambda found, y, alpha: rejects(found, y, alpha, allow=False))
    row = of_flags(
        case.name, "false positives", "", 0.05, bracket.hits(case, Noise("", np.random.default_rng(0)), 3000)
    )
    assert row.measured > 0.1
    assert kept([row] * 100) == [False] * 100


def test_a_fit_that_overlooks_its_misses_errs_on_steep_sides(monkeypatch: pytest.MonkeyPatch):
    """Without the ratio of misses to noise the allowance is too small where a cubic is not the curve."""
    case = bracket.Case(curves.LION, n=30)
    assert rate(case) < 0.055
    monkeypatch.setattr(tuned, "_ratio", lambda misfit, left: np.ones_like(misfit))
    assert rate(case) > 0.065


def test_studies_come_in_blocks_that_add_up():
    case = replace(bracket.CASES[0], arms=3)
    assert len(bracket.hits(case, Noise("normal", np.random.default_rng(0)), 4100)) == 4100


def test_identical_arms_have_one_optimum_and_others_their_own():
    noise = Noise("normal", np.random.default_rng(0))
    same, own = (bracket.optima(bracket.Case(curves.SMOOTH, same=same), noise, 50) for same in (True, False))
    assert (same[:, 0] == same[:, 1]).all()
    assert (own[:, 0] != own[:, 1]).all()
    assert np.abs(own).max() <= 1
