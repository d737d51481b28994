"""The walk over learning rates: worked by hand, and counted on curves like those of real runs."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from coregpt.stats.bracket import best_rate, cliff, edge, next_rates, tuning_seeds

INF = math.inf


def walk(loss: Callable[[float], float]) -> tuple[list[float], dict[float, list[float]]]:
    """Rates in the order tried, and their losses (one seed counts as well as two)."""
    order: list[float] = []
    tried: dict[float, list[float]] = {}
    while rates := next_rates(tried):
        order += rates
        tried |= {x: [loss(x), loss(x)] for x in rates}
    return order, tried


def valley(bottom: float) -> Callable[[float], float]:
    return lambda x: (x - bottom) ** 2


@pytest.mark.parametrize(
    ("bottom", "order", "end"),
    [
        (0.1, [0, -1, 1, -0.5, 0.5], "none"),
        (1.2, [0, -1, 1, 2, 0.5, 1.5], "none"),
        (-2.8, [0, -1, 1, -2, -3, -4, -3.5, -2.5], "none"),
        (4.1, [0, -1, 1, 2, 3, 4, 5, 3.5, 4.5], "none"),
        (9, [0, -1, 1, 2, 3, 4, 5], "high"),
        (-9, [0, -1, 1, -2, -3, -4, -5], "low"),
    ],
)
def test_walks_worked_by_hand(bottom: float, order: list[float], end: str):
    found, tried = walk(valley(bottom))
    assert found == order
    assert edge(tried) == end


def test_a_diverged_rate_is_the_worst_and_its_cliff_is_seen():
    order, tried = walk(lambda x: INF if x > 0.2 else (x - 1) ** 2)
    assert order == [0, -1, 1, -0.5, 0.5]
    assert (edge(tried), best_rate(tried), cliff(tried)) == ("none", 0, 0.5)


def test_where_everything_diverges_the_walk_goes_down():
    assert walk(lambda x: INF)[0] == [0, -1, 1, -2, -3, -4, -5]
    order, tried = walk(lambda x: INF if x > -1.7 else 1.0 + abs(x + 3))
    assert order == [0, -1, 1, -2, -3, -4, -3.5, -2.5]
    assert best_rate(tried) == -3


def test_one_diverged_seed_is_enough():
    tried = {0.0: [1.0, INF], -1.0: [1.1, 1.1], 1.0: [2.0, 2.0], -2.0: [1.2, 1.2]}
    assert best_rate(tried) == -1
    assert next_rates(tried) == (-1.5, -0.5)
    assert cliff(tried) == 0
    assert best_rate({0.0: [math.nan], 1.0: [5.0]}) == 1


def test_of_equal_rates_the_lowest_is_the_best():
    assert best_rate({1.0: [2.0], 0.0: [2.0], -1.0: [3.0]}) == 0
    assert walk(lambda x: 1.0)[0] == [0, -1, 1, -2, -3, -4, -5]


def test_half_octaves_do_not_send_the_walk_on():
    tried = {0.0: [1.0], -1.0: [3.0], 1.0: [2.0], -0.5: [2.0], 0.5: [0.1]}
    assert best_rate(tried) == 0.5
    assert next_rates(tried) == ()


def test_a_killed_study_goes_on_where_it_was():
    whole, tried = walk(valley(1.2))
    for done in range(len(whole)):
        known = {x: tried[x] for x in whole[:done]}
        rest = []
        while rates := next_rates(known):
            rest += rates
            known |= {x: tried[x] for x in rates}
        assert sorted(whole[:done] + rest) == sorted(whole)
    shuffled = dict(sorted(tried.items(), reverse=True))
    assert next_rates(shuffled) == ()


@pytest.mark.parametrize(("n", "m"), [(3, 2), (5, 2), (6, 2), (8, 3), (9, 3), (10, 3), (30, 10)])
def test_tuning_seeds_are_a_third_of_the_test_seeds(n: int, m: int):
    assert tuning_seeds(n) == m


def test_rates_tried_on_curves_like_those_of_real_runs():
    """Optima within an octave of the declared rate, 0.014 nats per square octave, noise of 0.002 on two seeds."""
    rng = np.random.default_rng(0)
    counts = []
    for bottom in rng.uniform(-1, 1, 500):
        noisy = {x: 0.014 * (x - bottom) ** 2 + rng.normal(0, 0.002 / math.sqrt(2)) for x in np.arange(-5, 5.5, 0.5)}
        counts.append(len(walk(noisy.__getitem__)[0]))
    assert np.mean(counts) == pytest.approx(5.5, abs=0.15)
    assert max(counts) <= 9
