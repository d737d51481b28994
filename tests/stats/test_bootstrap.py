"""The bootstrap interval on twenty real runs, and its refusal below twenty."""

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.bootstrap import bca_interval

# Final losses of twenty runs of a public speedrun record (modded-nanogpt, MIT, Copyright (c) 2024 Keller Jordan).
RUNS = np.array(
    [
        3.2784,
        3.2791,
        3.2819,
        3.2801,
        3.2788,
        3.2794,
        3.2782,
        3.277,
        3.2784,
        3.2773,
        3.2803,
        3.2792,
        3.2792,
        3.2804,
        3.2817,
        3.2805,
        3.2783,
        3.2789,
        3.2779,
        3.2778,
    ]
)


def test_twenty_real_runs_give_the_reference_interval():
    assert bca_interval(RUNS) == pytest.approx((3.278615, 3.279765), abs=2e-5)
    half = stats.t.isf(0.025, 19) * stats.sem(RUNS)
    assert (RUNS.mean() - half, RUNS.mean() + half) == pytest.approx((3.2785129379059836, 3.279767062094017))


def test_it_agrees_with_scipy_on_a_skewed_sample():
    values = np.random.default_rng(0).exponential(1.0, 40)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=np.random.default_rng(1)).confidence_interval
    assert bca_interval(values) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_shifting_and_seeding_do_what_they_should():
    assert bca_interval(RUNS + 1) == pytest.approx([bound + 1 for bound in bca_interval(RUNS)])
    assert bca_interval(RUNS, seed=3) == bca_interval(RUNS, seed=3) != bca_interval(RUNS, seed=4)
    assert bca_interval(np.full(20, 2.0)) == (2.0, 2.0)


def test_nineteen_runs_are_refused():
    with pytest.raises(ConfigError, match="at least 20 runs, got 19; use the t interval"):
        bca_interval(RUNS[:19])
