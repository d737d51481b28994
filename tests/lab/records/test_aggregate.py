"""The mean of an arm is over the same seeds at every step, with the interval that scipy gives."""

import math

import numpy as np
import pytest
from scipy import stats

from coregpt.lab.records.aggregate import band
from coregpt.lab.records.store import Row


def curve(*values: float, every: int = 10) -> list[Row]:
    """A log with an evaluation every few steps and training rows between them."""
    rows: list[Row] = []
    for i, value in enumerate(values):
        rows += [{"step": every * i, "select_loss": value, "seconds": 1.0}, {"step": every * i + 1, "loss": 9.0}]
    return rows


def test_mean_and_interval_are_those_of_scipy() -> None:
    seeds = np.random.default_rng(0).normal(2.0, 0.1, (5, 3))
    found = band([curve(*row) for row in seeds])
    assert [point.step for point in found] == [0, 10, 20]
    for point, column in zip(found, seeds.T, strict=True):
        low, high = stats.ttest_1samp(column, 0.0).confidence_interval(0.95)
        assert (point.mean, point.low, point.high) == pytest.approx((column.mean(), low, high), rel=1e-12)


def test_steps_that_a_diverged_run_did_not_reach_in_numbers_are_left_out_for_all() -> None:
    found = band([curve(3.0, 2.0, 1.0), curve(3.2, math.nan), curve(3.1, 2.1, 1.1)])
    assert [(point.step, point.mean) for point in found] == [(0, pytest.approx(3.1))]


def test_one_seed_has_a_mean_and_no_interval() -> None:
    (only,) = band([curve(2.0)])
    assert (only.mean, only.low, only.high) == (2.0, None, None)


def test_without_runs_there_is_nothing() -> None:
    assert band([]) == []
