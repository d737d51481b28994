"""A small calibration: promises are kept, results are seeded, and a broken promise is noticed."""

import numpy as np
import pytest

from coregpt.stats import calibration
from coregpt.stats.calibration import Row, calibrate, residuals


def test_no_promise_is_broken_twice_in_small_calibrations():
    # Written after seed 0 flagged three of 74 lines and seed 1 none: a line counts as broken here only if an
    # independent repetition says so too. The full `coregpt calibrate` is the judge.
    rows = [list(calibrate(2000, seed)) for seed in (0, 1)]
    broken = [{(row.procedure, row.kind, row.noise) for row in each if not row.ok} for each in rows]
    assert not broken[0] & broken[1]
    assert {row.noise for row in rows[0]} == {"normal", "real residuals"}
    assert {row.kind for row in rows[0]} == {"false positives", "power", "coverage"}


def test_the_same_seed_gives_the_same_rows():
    assert list(calibrate(100, seed=3)) == list(calibrate(100, seed=3)) != list(calibrate(100, seed=4))


def test_a_liberal_procedure_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration, "_slow_false_positives", lambda noise, r: iter(()))
    monkeypatch.setattr(calibration, "dunnett_critical", lambda alpha, k, df: 2.0)
    broken = [row for row in calibrate(1000, seed=0) if not row.ok]
    assert {row.kind for row in broken} == {"false positives", "power", "coverage"}
    assert all("Dunnett" in row.procedure for row in broken)


@pytest.mark.parametrize(
    ("kind", "measured", "ok"),
    [
        ("false positives", 0.1, True),
        ("false positives", 0.952, True),
        ("false positives", 0.97, False),
        ("power", 0.925, True),
        ("power", 0.915, False),
        ("coverage", 0.958, True),
        ("coverage", 0.965, False),
    ],
)
def test_the_limits_of_ok(kind: calibration.Kind, measured: float, ok: bool):
    assert Row("x", kind, "normal", 0.95, measured, 0.001).ok is ok


def test_residuals_are_those_of_real_runs_centred_by_arm():
    values = residuals()
    assert len(values) > 100
    assert values.mean() == pytest.approx(0, abs=1e-6)
    assert 0.0009 < np.std(values) < 0.0013
