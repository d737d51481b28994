"""Looks at 0.05 reject equal arms as often as they promise, and boundaries that are nearly right are noticed."""

import numpy as np
import pytest
from scipy import stats

from coregpt.stats.calibration import looks
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rows import Row, kept
from coregpt.stats.looks.sequential import Looks, spending_boundaries

LINES = 200
"""As many as a whole table has; each line is judged as one of them."""


def noise() -> Noise:
    return Noise("normal", np.random.default_rng(0))


def broken(rows: list[Row]) -> list[str]:
    return [row.procedure for row in rows if not kept([row] * LINES)[0]]


def by_equal_tails(plan: Looks) -> tuple[float, ...]:
    """The t with the same tail as the boundary of the normal score: right with many seeds, too low with few."""
    normal = spending_boundaries(plan.fractions, plan.alpha, plan.spending)
    return tuple(float(stats.t.isf(stats.norm.sf(z), n - 1)) for z, n in zip(normal, plan.sizes, strict=True))


def test_every_plan_keeps_its_promise():
    rows = list(looks.rows(noise(), 1000))
    assert broken(rows) == []
    assert len({row.procedure for row in rows}) == len(rows) == 2 * len(looks.SIZES)
    assert {row.studies for row in rows} == {20_000}


def test_boundaries_of_the_normal_score_turned_into_t_are_noticed(monkeypatch: pytest.MonkeyPatch):
    """They reject in 5.43% of studies where 5% is promised, which 20,000 studies do not tell from luck."""
    monkeypatch.setattr(Looks, "boundaries", property(by_equal_tails))
    monkeypatch.setattr(looks, "SIZES", ((4, 8, 12),))
    rows = list(looks.rows(noise(), 10_000))
    assert rows[0].measured == pytest.approx(0.0543, abs=0.002)
    assert rows[0].procedure in broken(rows)
    assert broken(list(looks.rows(noise(), 1000))) == []


def test_studies_come_in_blocks_that_add_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(looks, "_BLOCK", 300)
    found = looks._rejected(noise(), [Looks((4, 8), 0.4), Looks((4, 8), 0.2)], 1000)
    assert found.shape == (2, 1000)
    assert found[0].mean() == pytest.approx(0.4, abs=0.07)
    assert found[:, 900:].any(1).all()
    assert not (found[1] & ~found[0]).any()
