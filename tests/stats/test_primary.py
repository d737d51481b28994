"""The announced test with its fallbacks: correction for the whole plan, noisy arms, diverged runs."""

import numpy as np
import pytest
from scipy import stats

from coregpt.stats.contrasts import blocked_anova, paired_t
from coregpt.stats.design import choose_test, unpooled
from coregpt.stats.distributions import dunnett_p
from coregpt.stats.primary import run_primary


def table(arms: int, seeds: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (arms, seeds)) + rng.normal(0, 3, seeds)


def test_holm_counts_every_planned_arm_even_those_that_cannot_be_tested():
    values = table(2, 8)
    found = run_primary(choose_test(8, 3), 0.05, values[0], {"a": values[1]}, {})["a"]
    assert found.p_adjusted == pytest.approx(min(1.0, 3 * stats.ttest_rel(values[0], values[1]).pvalue))


def test_dunnett_counts_every_planned_arm_even_those_that_cannot_be_tested():
    values = table(4, 5)
    measured = {"a": values[1], "b": values[2]}
    found = run_primary(choose_test(5, 4), 0.05, values[0], measured, {})["a"]
    fit = blocked_anova(values[:3]).contrasts[0]
    assert found.p_adjusted == pytest.approx(dunnett_p(fit.t, 4, fit.df))
    assert found.p_adjusted > dunnett_p(fit.t, 2, fit.df)


def test_the_separate_p_beside_dunnett_is_the_paired_t_test():
    values = table(3, 6)
    found = run_primary(choose_test(6, 2), 0.05, values[0], {"a": values[1], "b": values[2]}, {})
    alone = [paired_t(values[0], values[i]).p for i in (1, 2)]
    assert min(t.p_separate or 0 for t in found.values()) == pytest.approx(min(1.0, 2 * min(alone)))


def test_an_arm_with_wild_seeds_is_flagged_and_a_calm_one_is_not():
    values = table(6, 6, seed=3)
    values[5] += np.random.default_rng(1).normal(0, 25, 6)
    measured = {str(i): values[i] for i in range(1, 6)}
    found = run_primary(choose_test(6, 5), 0.05, values[0], measured, {})
    assert [found[str(i)].noisy for i in range(1, 6)] == [False] * 4 + [True]


def test_a_wild_baseline_taints_every_comparison():
    values = table(6, 6, seed=3)
    values[0] += np.random.default_rng(1).normal(0, 25, 6)
    found = run_primary(choose_test(6, 5), 0.05, values[0], {str(i): values[i] for i in range(1, 6)}, {})
    assert all(t.noisy for t in found.values())


def test_a_diverged_arm_is_ranked_and_does_not_disturb_the_others():
    values = table(4, 6)
    broken = values[3].copy()
    broken[2] = np.inf
    measured = {"a": values[1], "b": values[2]}
    found = run_primary(choose_test(6, 3), 0.05, values[0], measured, {"c": broken})
    assert found["c"].contrast is None
    assert "ranked worst" in found["c"].test
    assert found["a"].contrast == blocked_anova(values[:3]).contrasts[0]


def test_too_few_complete_arms_to_pool_means_no_test():
    values = table(2, 3)
    assert run_primary(choose_test(3, 3), 0.05, values[0], {"a": values[1]}, {}) == {}


def test_a_design_without_a_test_tests_nothing():
    values = table(2, 2)
    assert run_primary(choose_test(2, 1), 0.05, values[0], {"a": values[1]}, {}) == {}


@pytest.mark.parametrize(("arms", "seeds"), [(2, 6), (4, 4), (4, 9)])
def test_false_alarms_stay_at_alpha(arms: int, seeds: int):
    repeats, alarms = 400, 0
    rng = np.random.default_rng(arms + seeds)
    design = choose_test(seeds, arms - 1)
    for _ in range(repeats):
        values = rng.normal(0, 1, (arms, seeds)) + rng.normal(0, 2, seeds)
        found = run_primary(design, 0.05, values[0], {str(i): values[i] for i in range(1, arms)}, {})
        alarms += any(t.p_adjusted < 0.05 for t in found.values())
    assert alarms / repeats <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert alarms > 0


def test_intervals_for_all_arms_together_cover_together():
    repeats, covered = 400, 0
    rng = np.random.default_rng(7)
    truth = np.array([0.0, 1.0, -2.0, 0.5])
    design = choose_test(6, 3)
    for _ in range(repeats):
        values = rng.normal(0, 1, (4, 6)) + rng.normal(0, 2, 6) - truth[:, None]
        found = run_primary(design, 0.05, values[0], {str(i): values[i] for i in (1, 2, 3)}, {})
        covered += all(
            abs(t.contrast.gain - truth[int(i)]) < t.critical * t.contrast.se for i, t in found.items() if t.contrast
        )
    assert covered / repeats == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / repeats))


def test_an_allowance_widens_the_error_and_leaves_its_degrees_of_freedom():
    values = table(2, 6)
    d = values[0] - values[1]
    se = np.sqrt(d.var(ddof=1) / 6 + 0.3)
    found = run_primary(choose_test(6, 1), 0.05, values[0], {"a": values[1]}, {}, tuning={"a": 0.3})["a"]
    assert found.p == pytest.approx(2 * stats.t.sf(abs(d.mean()) / se, 5))
    assert found.contrast is not None
    assert (found.contrast.se, found.contrast.df) == (pytest.approx(se), 5)
    assert found.contrast.sampling_se == pytest.approx(stats.sem(d))


def test_without_an_allowance_nothing_changes():
    values = table(4, 6)
    broken = values[3].copy()
    broken[2] = np.inf
    measured = {"a": values[1], "b": values[2]}
    plain, zero = (
        run_primary(choose_test(6, 3), 0.05, values[0], measured, {"c": broken}, tuning=tuning)
        for tuning in (None, {"a": 0.0, "b": 0.0, "c": 0.0})
    )
    assert plain == zero
    assert "c" in zero


def test_arms_with_allowances_are_tested_one_by_one_with_holm():
    values = table(4, 6)
    allowances = {"1": 0.1, "2": 0.2, "3": 0.0}
    measured = {str(i): values[i] for i in (1, 2, 3)}
    found = run_primary(choose_test(6, 3), 0.05, values[0], measured, {}, tuning=allowances)
    d = values[0] - values[1:]
    t = np.abs(d.mean(1)) / np.sqrt(d.var(1, ddof=1) / 6 + np.array([0.1, 0.2, 0.0]))
    p = 2 * stats.t.sf(t, 5)
    assert [found[str(i)].p for i in (1, 2, 3)] == pytest.approx(list(p))
    assert min(each.p_adjusted for each in found.values()) == pytest.approx(min(1.0, 3 * p.min()))
    assert {each.test for each in found.values()} == {"paired t-test per arm, Holm correction"}


def test_too_few_seeds_for_a_single_test_are_too_few_for_tuned_arms():
    values = table(4, 4)
    measured = {str(i): values[i] for i in (1, 2, 3)}
    assert len(run_primary(choose_test(4, 3), 0.05, values[0], measured, {})) == 3
    assert run_primary(choose_test(4, 3), 0.05, values[0], measured, {}, tuning={"1": 0.1}) == {}
    assert not unpooled(choose_test(4, 3)).can_test


def test_a_rank_test_cannot_carry_an_allowance_and_is_not_made():
    values = table(3, 8)
    broken = values[2].copy()
    broken[1] = np.inf
    found = run_primary(choose_test(8, 2), 0.05, values[0], {"a": values[1]}, {"b": broken}, tuning={"b": 0.1})
    assert set(found) == {"a"}
