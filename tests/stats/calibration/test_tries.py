"""Ten tries at the levels of a chain, and what picking seeds by their luck does to a study on a known baseline."""

import numpy as np
import pytest

from coregpt.stats import lond
from coregpt.stats.calibration import tries
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rows import kept


def noise() -> Noise:
    return Noise("normal", np.random.default_rng(0))


def test_ten_tries_at_the_levels_of_their_chain_seldom_say_better_and_alone_they_often_do():
    """1,000 chains, on fresh seeds and on one baseline's runs; alone, each of ten errs upward with 2.5%."""
    for y, alone in zip(tries.tries(noise(), 1000), (1 - 0.975**10, 0.16), strict=True):
        assert tries.any_better(*y, chain=True).mean() <= tries.ALPHA
        assert tries.any_better(*y, chain=False).mean() == pytest.approx(alone, abs=0.04)


@pytest.mark.parametrize(("correlation", "rate"), [(0.1, 0.67), (0.45, 0.42)])
def test_an_arm_that_does_nothing_is_better_where_the_baseline_is_known_to_be_worst(correlation: float, rate: float):
    gain, p = tries.picked(noise(), 4000, correlation)
    assert ((gain > 0) & (p < tries.ALPHA)).mean() == pytest.approx(rate, abs=0.03)


def test_on_all_known_seeds_it_is_not(monkeypatch: pytest.MonkeyPatch):
    """Nothing is picked where all are taken."""
    monkeypatch.setattr(tries, "PICKED", tries.KNOWN)
    gain, p = tries.picked(noise(), 4000, 0.1)
    assert ((gain > 0) & (p < tries.ALPHA)).mean() < tries.ALPHA


def test_rows_that_promise_nothing_are_not_judged_and_the_others_are(monkeypatch: pytest.MonkeyPatch):
    rows = list(tries.rows(noise(), 400))
    assert [row.kind for row in rows] == ["false positives", "no promise"] * 2 + ["no promise"] * 2
    assert all(kept(rows))
    monkeypatch.setattr(lond, "level", lambda alpha, k, confirmed: np.full(len(k), alpha))
    rows = list(tries.rows(noise(), 400))
    assert [row.kind for row, ok in zip(rows, kept(rows), strict=True) if not ok] == ["false positives"] * 2
