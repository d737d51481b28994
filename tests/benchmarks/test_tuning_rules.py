"""The rules that the benchmark compares, on curves without noise and against numpy."""

import numpy as np
import pytest

from benchmarks.tuning_rules import RULES, best_point, main, measure, three_points
from coregpt.stats.calibration import curves
from coregpt.stats.calibration.tuned import GRID


def losses(bottom: float, cubic: float = 0.0) -> np.ndarray:
    """One study, one arm, two silent seeds on the whole grid."""
    y = (GRID - bottom) ** 2 + cubic * (GRID - bottom) ** 3
    return np.repeat(y[None, None, :, None], 2, -1)


@pytest.mark.parametrize(("bottom", "octave", "half"), [(0.2, 0, 0), (0.3, 0, 0.5), (0.8, 1, 1.0), (-1.3, -1, -1.5)])
def test_the_best_of_a_grid(bottom: float, octave: float, half: float):
    assert best_point(losses(bottom), halves=False).optimum.item() == octave
    assert best_point(losses(bottom), halves=True).optimum.item() == half


@pytest.mark.parametrize("step", [1, 2])
def test_a_parabola_through_three_points_is_that_of_polyfit(step: int):
    y = losses(0.2, cubic=0.1)
    x = np.array([-step / 2, 0, step / 2])
    a, b, _ = np.polyfit(x, y[0, 0, [10 - step, 10, 10 + step], 0], 2)
    assert three_points(y, step=step).optimum.item() == pytest.approx(-b / 2 / a)


def test_three_points_beside_a_cliff_are_the_best_point():
    y = losses(0.2)
    y[..., GRID > 0.7, :] = np.inf
    assert three_points(y, step=2).optimum.item() == 0


def test_points_of_a_grid_decide_and_the_bracket_does_not():
    grid, *_, bracket = (measure(rule, curves.SMOOTH, 30, 400) for rule in RULES)
    assert grid.false_rate > 0.4
    assert bracket.false_rate < 0.09
    assert bracket.lost < grid.lost / 10


def test_a_dry_run_prints_every_rule(capsys: pytest.CaptureFixture[str]):
    main(["--dry"])
    printed = capsys.readouterr().out
    assert all(f"| {rule.name} |" in printed for rule in RULES)
