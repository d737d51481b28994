"""Curves: thinned without losing their ends, averaged over what finished."""

import numpy as np
import pytest

from coregpt.report.drawing.curves import MAX_POINTS, gap_band, mean_band, seed_curves, thin
from tests.report.studies import report
from tests.report.verdicts.test_compare import base, shifted


@pytest.mark.parametrize("length", [0, 1, 2, 399, 400, 401, 5000])
def test_thinning_keeps_both_ends_and_at_most_the_limit(length: int):
    kept = thin(length)
    assert len(kept) == min(length, MAX_POINTS)
    assert kept == sorted(set(kept))
    assert length == 0 or (kept[0], kept[-1]) == (0, length - 1)


def curves(values: dict) -> dict:
    found = seed_curves(report(values))
    return {arm: [c for c in found if c.run.arm == arm] for arm in values}


def test_the_band_runs_from_the_lowest_to_the_highest_finished_seed():
    band = mean_band(curves({"gpt": base(), "new": shifted(0.02)})["gpt"])
    assert band is not None
    assert (band.low[-1], band.middle[-1], band.high[-1]) == pytest.approx((min(base()), np.mean(base()), max(base())))
    assert set(band.x) == {"steps", "tokens", "flops", "seconds"}


def test_a_diverged_seed_is_drawn_but_not_averaged():
    arms = curves({"gpt": base(), "new": [None, *shifted(0.02)[1:]]})
    band = mean_band(arms["new"])
    assert len(arms["new"]) == 6
    assert band is not None
    assert band.middle[-1] == pytest.approx(np.mean(shifted(0.02)[1:]))


def test_the_gap_ends_at_the_gain_of_the_verdict_with_its_interval():
    values = {"gpt": base(), "new": shifted(0.02)}
    arms, verdict = curves(values), report(values).comparisons[0]
    gap = gap_band(arms["gpt"], arms["new"])
    assert gap is not None
    assert gap.middle[-1] == pytest.approx(verdict.gain)
    assert (gap.low[-1], gap.high[-1]) == pytest.approx(verdict.interval)


def test_two_pairs_make_no_gap():
    arms = curves({"gpt": base(2), "new": shifted(0.02, 2)})
    assert gap_band(arms["gpt"], arms["new"]) is None


def test_an_arm_without_finished_runs_has_no_mean():
    assert mean_band(curves({"gpt": base(), "new": [None] * 6})["new"]) is None
