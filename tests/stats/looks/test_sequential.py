"""Looks: published boundaries, exact small cases and simulation."""

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.looks.sequential import (
    Looks,
    Spending,
    crossing_probability,
    look,
    obrien_fleming_constant,
    pocock_constant,
    spending_boundaries,
    spent,
)


def equal(looks: int) -> list[float]:
    return [k / looks for k in range(1, looks + 1)]


@pytest.mark.parametrize(
    ("alpha", "pocock", "obrien_fleming"),
    [
        (0.05, [1.960, 2.178, 2.289, 2.361, 2.413], [1.960, 1.977, 2.004, 2.024, 2.040]),
        (0.01, [2.576, 2.772, 2.873, 2.939, 2.986], [2.576, 2.580, 2.595, 2.609, 2.621]),
    ],
)
def test_constants_match_jennison_and_turnbull(alpha: float, pocock: list[float], obrien_fleming: list[float]):
    assert [pocock_constant(k, alpha) for k in range(1, 6)] == pytest.approx(pocock, abs=6e-4)
    assert [obrien_fleming_constant(k, alpha) for k in range(1, 6)] == pytest.approx(obrien_fleming, abs=6e-4)


@pytest.mark.parametrize(
    ("spending", "alpha", "sides", "expected"),
    [
        ("obrien_fleming", 0.05, 2, [4.8769, 3.3570, 2.6803, 2.2898, 2.0310]),
        ("pocock", 0.05, 2, [2.4380, 2.4268, 2.4102, 2.3966, 2.3860]),
        ("obrien_fleming", 0.01, 1, [4.3106, 2.9472, 2.3461]),
        ("obrien_fleming", 0.01, 1, [5.0201, 3.4605, 2.7649, 2.3625]),
        ("pocock", 0.01, 1, [2.6099, 2.6455, 2.6586]),
        ("pocock", 0.01, 1, [2.6899, 2.7086, 2.7114, 2.7119]),
    ],
)
def test_spending_boundaries_match_the_published_ones(spending: Spending, alpha: float, sides, expected: list[float]):
    found = spending_boundaries(equal(len(expected)), alpha, spending, sides=sides)
    assert found == pytest.approx(expected, abs=1e-4)


def test_boundaries_spend_exactly_alpha_in_simulated_random_walks():
    fractions = [0.2, 0.5, 1.0]
    bounds = spending_boundaries(fractions, 0.05, "pocock")
    assert crossing_probability(bounds, fractions) == pytest.approx(0.05, abs=1e-7)
    rng = np.random.default_rng(0)
    score = np.cumsum(rng.normal(size=(200_000, 3)) * np.sqrt(np.diff([0.0, *fractions])), axis=1)
    crossed = (np.abs(score) / np.sqrt(fractions) > bounds).any(1).mean()
    assert crossed == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 200_000))


def test_default_looks_have_the_designed_boundaries_on_the_normal_scale():
    assert spending_boundaries([1 / 3, 2 / 3, 1], 0.01, "pocock") == pytest.approx((2.839, 2.884, 2.903), abs=6e-4)


def test_a_moved_look_changes_only_later_boundaries():
    planned = spending_boundaries([0.3, 0.6, 1.0], 0.01, "pocock")
    moved = spending_boundaries([0.3, 0.7, 1.0], 0.01, "pocock")
    assert planned[0] == moved[0]
    assert planned[1] != moved[1]


@pytest.mark.parametrize("spending", ["pocock", "obrien_fleming"])
def test_all_alpha_is_spent_at_the_end_and_none_at_the_start(spending: Spending):
    assert spent(1.0, 0.025, spending) == pytest.approx(0.025)
    assert spent(1e-9, 0.025, spending) < 1e-9


@pytest.mark.parametrize("gain", [None, 1.0])
def test_one_look_is_the_plain_t_test(gain: float | None):
    plan = Looks((9,), 0.01, gain=gain)
    assert plan.boundaries == pytest.approx((stats.t.isf(0.005, 8),))
    assert plan.futility == (None if gain is None else pytest.approx((stats.t.isf(0.1, 8),)))


def test_with_many_seeds_equal_tails_of_the_normal_boundaries_are_exact():
    plan = Looks((200, 400, 600), 0.01)
    normal = spending_boundaries(plan.fractions, 0.01, "pocock")
    mapped = [stats.t.isf(stats.norm.sf(z), n - 1) for z, n in zip(normal, plan.sizes, strict=True)]
    assert plan.boundaries == pytest.approx(mapped, abs=2e-3)


@pytest.mark.parametrize("spending", ["pocock", "obrien_fleming"])
@pytest.mark.parametrize(("sizes", "tolerance"), [((4, 8, 12), 0.0), ((4, 5, 6, 7), 0.02), ((5, 7, 12, 30), 0.0)])
def test_boundaries_spend_what_the_plan_says_at_every_look(
    sizes: tuple[int, ...], tolerance: float, spending: Spending
):
    # Drawn and counted directly; looks a seed apart are allowed the quadrature's 2% of a share.
    plan, r = Looks(sizes, 0.05, spending, gain=1.0), 200_000
    x = np.random.default_rng(len(sizes)).normal(size=(r, sizes[-1]))
    assert plan.futility is not None
    for bounds, error, kind, absolute in (
        (plan.boundaries, 0.05, spending, True),
        (plan.futility, 0.1, "obrien_fleming", False),
    ):
        inside, before = np.ones(r, dtype=bool), 0.0
        for n, bound in zip(sizes, bounds, strict=True):
            t = stats.ttest_1samp(x[:, :n], 0.0, axis=1).statistic
            out = inside & ((np.abs(t) if absolute else t) > bound)
            share = (2 if absolute else 1) * spent(n / sizes[-1], error / (2 if absolute else 1), kind) - before
            assert out.mean() == pytest.approx(share, abs=tolerance * share + 4 * np.sqrt(share / r))
            inside, before = inside & ~out, before + share


def test_a_look_rejects_exactly_when_its_repeated_interval_excludes_zero():
    plan, rng = Looks((4, 8, 12), 0.05), np.random.default_rng(1)
    for n in (4, 8, 12):
        for shift in (0.0, 1.0, 3.0):
            found = look(rng.normal(shift, 1, n), plan)
            assert (found.decision == "reject") is not (found.interval[0] <= 0 <= found.interval[1])
    assert look(np.array([1.0, -1.0] * 6), plan).decision == "accept"
    assert look(np.array([1.0, -1.0] * 2), plan).decision == "continue"


def test_futility_stops_a_hopeless_arm_and_leaves_the_boundaries_alone():
    plan, hopeful = Looks((4, 8, 12), 0.01, gain=1.0), Looks((4, 8, 12), 0.01)
    assert plan.boundaries == hopeful.boundaries
    d = np.array([-0.5, -0.3, -0.4, -0.6, -0.45, -0.5, -0.4, -0.45])
    d -= d.mean()
    assert look(d, plan).decision == "futile"
    assert look(d, hopeful).decision == "continue"
    assert look(d + 1.0, plan).decision == "reject"
    assert look(d + 0.9 + np.tile([4.0, -4.0], 4), plan).decision == "continue"


@pytest.mark.parametrize("sizes", [(), (3, 6), (8, 4), (4, 4), (4, 8, 8)])
def test_looks_out_of_order_or_too_early_are_refused(sizes: tuple[int, ...]):
    with pytest.raises(ConfigError, match="rising numbers of seeds from 4 on"):
        Looks(sizes, 0.01)


def test_an_unplanned_look_and_an_impossible_alpha_are_refused():
    with pytest.raises(ConfigError, match="not planned"):
        look(np.zeros(5), Looks((4, 8), 0.01))
    with pytest.raises(ConfigError, match="alpha"):
        Looks((4, 8), 0.0)
    with pytest.raises(ConfigError, match="fractions"):
        spending_boundaries([0.5, 0.4], 0.05, "pocock")
