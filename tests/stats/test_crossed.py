"""Variance components: against sums of squares written out, and against simulation."""

import itertools

import numpy as np
import pytest

from coregpt.stats.crossed import split_variance

SOURCES = ("rows", "columns", "interaction", "repetition")


def test_components_are_those_of_the_expected_mean_squares_written_out() -> None:
    values = np.array([[3.0, 5.0, 4.0], [6.0, 9.0, 9.5], [2.0, 4.5, 5.0], [7.0, 8.0, 6.0]])
    repeats = np.array([3.0, 3.2, 2.9])
    grand = values.mean()
    a, b = values.shape
    ss_rows = sum(b * (values[i].mean() - grand) ** 2 for i in range(a))
    ss_columns = sum(a * (values[:, j].mean() - grand) ** 2 for j in range(b))
    ss_cells = sum((values[i, j] - grand) ** 2 for i, j in itertools.product(range(a), range(b)))
    cells = (ss_cells - ss_rows - ss_columns) / ((a - 1) * (b - 1))
    again = sum((r - repeats.mean()) ** 2 for r in repeats) / 2
    found = split_variance(values, repeats)
    assert found.rows.variance == pytest.approx((ss_rows / (a - 1) - cells) / b)
    assert found.columns.variance == pytest.approx((ss_columns / (b - 1) - cells) / a)
    assert found.interaction.variance == pytest.approx(cells - again)
    assert found.repetition.variance == pytest.approx(again)
    for source in SOURCES:
        part = getattr(found, source)
        assert part.interval[0] <= part.variance <= part.interval[1]


def test_an_additive_table_has_no_interaction_and_equal_repeats_have_no_variance() -> None:
    found = split_variance(np.add.outer([0.0, 1.0, 2.0], [0.0, 10.0, 30.0]), np.full(3, 0.1))
    assert found.repetition.variance == 0
    assert found.repetition.interval == (0, 0)
    assert found.interaction.variance == pytest.approx(0, abs=1e-12)
    assert found.rows.variance == pytest.approx(1)
    assert found.total == pytest.approx(1 + np.var([0, 10, 30], ddof=1))


def test_a_component_never_falls_below_zero() -> None:
    found = split_variance(np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2))
    assert (found.rows.variance, found.columns.variance) == (0, 0)
    assert found.interaction.variance == pytest.approx(1)


def test_shifting_changes_nothing_and_scaling_scales_variances() -> None:
    values, repeats = np.random.default_rng(0).normal(size=(3, 4)), np.array([0.3, 0.1])
    plain, moved = split_variance(values, repeats), split_variance(5 - 3 * values, 7 - 3 * repeats)
    assert moved.columns.variance == pytest.approx(9 * plain.columns.variance)
    assert moved.rows.interval == pytest.approx([9 * bound for bound in plain.rows.interval])


def test_transposing_swaps_the_factors() -> None:
    values, repeats = np.random.default_rng(1).normal(size=(3, 5)), np.array([0.3, 0.1])
    plain, turned = split_variance(values, repeats).rows, split_variance(values.T, repeats).columns
    assert turned.variance == pytest.approx(plain.variance)
    assert turned.interval == pytest.approx(plain.interval)


def test_estimates_are_unbiased_and_intervals_cover() -> None:
    rng = np.random.default_rng(3)
    true = {"rows": 4.0, "columns": 1.0, "interaction": 0.5, "repetition": 0.25}
    estimates: dict[str, list[float]] = {name: [] for name in true}
    covered = dict.fromkeys(true, 0)
    studies = 800
    for _ in range(studies):
        a, b, ab = rng.normal(size=8) * 2, rng.normal(size=8), rng.normal(size=(8, 8)) * 0.5**0.5
        signal = a[:, None] + b + ab
        repeats = signal[0, 0] + rng.normal(size=6) * 0.5
        found = split_variance(signal + rng.normal(size=(8, 8)) * 0.5, repeats)
        for name, value in true.items():
            part = getattr(found, name)
            estimates[name].append(part.variance)
            covered[name] += part.interval[0] <= value <= part.interval[1]
    for name, value in true.items():
        error = np.std(estimates[name]) / studies**0.5
        assert np.mean(estimates[name]) == pytest.approx(value, abs=4 * error + 0.01)
        assert covered[name] / studies > 0.95 - 3 * (0.95 * 0.05 / studies) ** 0.5


@pytest.mark.parametrize(("shape", "repeats"), [((1, 3), 2), ((3, 1), 2), ((2, 2), 1)])
def test_designs_that_cannot_tell_are_refused(shape: tuple[int, int], repeats: int) -> None:
    with pytest.raises(ValueError, match="at least 2 x 2"):
        split_variance(np.zeros(shape), np.zeros(repeats))
