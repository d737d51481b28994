"""Early decisions: error rates by simulation, levels by hand, repeated p-values against the plans they belong to."""

import math

import numpy as np
import pytest
from scipy import stats

from coregpt.stats.looks.sequential import Looks
from coregpt.stats.looks.stopping import (
    Anytime,
    can_reject,
    detectable_gain,
    expect,
    fewest_anytime,
    judge,
    make_rule,
    plain_interval,
    repeated_p,
    replay,
    stopping_design,
)
from coregpt.stats.power import smallest_detectable

LOOKS = Looks((4, 8, 12), 0.05)
RULES = [LOOKS, Looks((4, 8, 12), 0.05, "obrien_fleming", gain=1.0), Anytime(12, 0.05)]


def gains(n: int, t: float) -> np.ndarray:
    """n values whose one-sample t statistic is `t`."""
    shape = np.resize([1.0, -1.0, 0.5, -0.5], n)
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    return shape + t / math.sqrt(n)


@pytest.mark.parametrize("rule", RULES, ids=["pocock", "futility", "anytime"])
def test_an_arm_without_effect_is_rejected_at_most_as_often_as_alpha_says(rule):
    rng = np.random.default_rng(0)
    ends = [replay(rule, rng.normal(size=12), rng.normal(size=12)) for _ in range(1000)]
    rate = np.mean([end.decision == "reject" for end in ends])
    assert rate < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    if rule is LOOKS:
        assert rate > 0.05 - 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert all(end.needs == 0 for end in ends)


def test_looking_at_plain_p_values_as_often_would_not_do():
    """The same simulation finds naive peeking out, so it can find something."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(1500, 12))
    wrong = np.any([stats.ttest_1samp(d[:, :n], 0, axis=1).pvalue < 0.05 for n in (4, 8, 12)], axis=0)
    assert np.mean(wrong) > 0.08


def test_runs_that_diverge_at_random_add_no_errors():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3000, 2, 12))
    values[rng.random(values.shape) < 0.03] = np.inf
    ends = [replay(LOOKS, *pair) for pair in values]
    assert np.mean([end.decision == "reject" for end in ends]) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 3000)


def test_a_diverged_run_stops_nothing_early_and_leaves_the_last_share_of_alpha_to_the_ranks():
    baseline, arm = np.arange(12) + 5.0, np.zeros(12)
    baseline[2] = np.inf
    course = replay(LOOKS, baseline, arm)
    assert [look.decision for look in course.looks] == ["continue", "continue", "reject"]
    last = course.looks[-1]
    assert last.p == pytest.approx(2 / 2**12)
    assert last.level == pytest.approx(0.05 * (1 - math.log(1 + (math.e - 1) * 8 / 12)))
    arm[2] = np.inf  # both diverged: no difference in that pair
    assert replay(LOOKS, baseline, arm).looks[-1].p == pytest.approx(2 / 2**11)


def test_an_e_value_has_nothing_left_for_ranks():
    baseline = np.arange(12) + 5.0
    baseline[2] = np.inf
    course = replay(Anytime(12, 0.05), baseline, np.zeros(12))
    assert (course.decision, course.looks[-1].n) == ("accept", 12)
    assert repeated_p(Anytime(12, 0.05), baseline) == 1.0


def test_a_run_without_an_outcome_is_waited_for():
    baseline, arm = np.zeros(12), np.resize([0.1, -0.1], 12)
    arm[6] = np.nan
    course = replay(LOOKS, baseline, arm)
    assert ([look.n for look in course.looks], course.needs, course.decision) == ([4], 8, "continue")
    assert replay(LOOKS, np.full(12, np.nan), arm).needs == 4
    assert replay(Anytime(12, 0.05), baseline, arm).needs == 7


def test_nothing_is_seen_beyond_the_look_that_decides():
    course = replay(LOOKS, gains(4, 30.0), np.zeros(4))
    assert (course.decision, course.needs) == ("reject", 0)
    later = np.concatenate([gains(4, 30.0), np.full(8, -50.0)])
    assert replay(LOOKS, later, np.zeros(12)) == course


def test_a_repeated_p_value_is_the_alpha_of_the_plan_whose_boundary_was_met():
    for alpha, k in ((0.002, 0), (0.03, 1), (0.01, 2)):
        t = Looks(LOOKS.sizes, alpha).boundaries[k]
        assert repeated_p(LOOKS, gains(LOOKS.sizes[k], t)) == pytest.approx(alpha, rel=3e-3)


def test_at_the_first_look_it_is_the_p_value_over_the_share_spent_there():
    d = gains(4, 5.0)
    share = math.log(1 + (math.e - 1) * 4 / 12)
    assert repeated_p(LOOKS, d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue / share, rel=2e-3)


def test_with_one_look_at_the_end_it_is_the_p_value_of_the_t_test():
    d = gains(8, 2.2)
    only = Looks((8,), 0.05)
    assert repeated_p(only, d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=2e-3)
    assert judge(only, d).level == pytest.approx(0.05)
    assert repeated_p(only, gains(8, 0.0)) == 1.0
    assert repeated_p(only, np.full(8, 0.3)) == 0.0


def test_repeated_intervals_hold_at_every_look_together():
    rng, missed = np.random.default_rng(3), 0
    for _ in range(1000):
        d = rng.normal(size=12)
        each = [plain_interval(Looks((4, 8, 12), 0.01), d[:n], 0.9) for n in (4, 8, 12)]
        missed += any(not low < 0 < high for low, high in each)
    assert missed / 1000 == pytest.approx(0.1, abs=3 * math.sqrt(0.09 / 1000))


def test_expected_runs_are_those_of_studies_replayed_one_by_one():
    rule, sd = Looks((4, 8, 12), 0.025, gain=0.01), 0.01
    fast, rng = expect(rule, 0.01, sd, arms=2), np.random.default_rng(9)
    seeds, runs, found = [], [], []
    for _ in range(800):
        baseline = rng.normal(0, sd / math.sqrt(2), 12)
        arms = rng.normal(-0.01, sd / math.sqrt(2), (2, 12))
        ends = [replay(rule, baseline, arm) for arm in arms]
        used = [end.looks[-1].n for end in ends]
        seeds += used
        runs.append(sum(used) + max(used))
        found += [end.decision == "reject" for end in ends]
    assert fast.pairs == pytest.approx(np.mean(seeds), abs=0.4)
    assert fast.runs == pytest.approx(np.mean(runs), abs=1.2)
    assert fast.rejected == pytest.approx(np.mean(found), abs=0.05)


def test_with_one_look_the_detectable_gain_is_that_of_a_fixed_number_of_seeds():
    assert detectable_gain(Looks((8,), 0.05), 0.01, 0.9) == pytest.approx(smallest_detectable(0.01, 8) or 0.0, rel=0.03)
    assert detectable_gain(LOOKS, 0.01, 0.9) > (smallest_detectable(0.01, 12) or 0.0)


def test_the_e_value_of_few_pairs_is_bounded_and_so_is_what_a_cap_can_decide():
    """For gains without spread it is (1 + n)^((n - 1) / 2), the largest there is."""
    for alpha, arms in ((0.05, 1), (0.05, 10), (0.001, 1)):
        needed = next(n for n in range(3, 50) if (1 + n) ** ((n - 1) / 2) >= arms / alpha)
        assert fewest_anytime(alpha, arms) == needed
        assert not can_reject(Anytime(needed - 1, alpha / arms))


def test_a_rule_is_made_from_what_is_declared():
    looks = make_rule((4, 8), 0.05, 2, spending="obrien_fleming", gain=0.01, power=0.8)
    assert looks == Looks((4, 8), 0.025, "obrien_fleming", 0.01, 0.2)
    assert make_rule((9,), 0.05, 5, anytime=True) == Anytime(9, 0.01)
    design = stopping_design(looks, 2)
    assert (design.method, design.n_seeds, design.can_test) == ("looks", 8, True)
    assert "after 4, 8 seeds, O'Brien-Fleming-type spending, alpha divided by 2 arms" in design.reason
