"""Tests of the tests: published examples, scipy, and slow references written from the definitions."""

import itertools

import numpy as np
import pytest
from scipy import stats

from coregpt.stats.contrasts import (
    blocked_anova,
    contrast,
    holm,
    more_failures_p,
    paired_t,
    sign_flip_p,
    signed_ranks,
    t_interval,
    tost_p,
    welch,
    with_allowance,
    worst_rank,
)
from coregpt.stats.distributions import dunnett_p

SLEEP_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SLEEP_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
MAIZE = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)

# Eight seeds of five optimizers at one step of a public speedrun (MIT, Keller Jordan); rows: r30 r34 r38 r40 r41.
SPEEDRUN = np.array(
    [
        [3.2792, 3.28077, 3.28012, 3.27974, 3.28078, 3.28026, 3.28092, 3.28036],
        [3.27949, 3.28139, 3.27914, 3.27991, 3.27943, 3.27942, 3.28031, 3.27845],
        [3.27803, 3.27899, 3.27857, 3.27819, 3.27867, 3.27855, 3.27853, 3.27805],
        [3.27641, 3.27903, 3.27804, 3.27809, 3.27874, 3.27765, 3.27758, 3.27773],
        [3.27684, 3.27811, 3.27606, 3.27734, 3.27694, 3.27707, 3.27795, 3.27637],
    ]
)
SPEEDRUN_SE = 0.00024421823159393363
SPEEDRUN_T = [2.3595699479084384, 7.457469444902513, 9.66348820314275, 13.036496002861675]


def test_paired_t_reproduces_students_sleep_data():
    found = paired_t(SLEEP_1, SLEEP_2)
    assert (found.t, found.df, found.p) == pytest.approx((-4.062127683382037, 9, 0.002832890197384273))
    assert t_interval(found, 0.95) == pytest.approx((-2.459885763276983, -0.7001142367230175))
    assert found.p == pytest.approx(stats.ttest_rel(SLEEP_1, SLEEP_2).pvalue)


def test_welch_reproduces_the_sleep_data_taken_as_unpaired():
    found = welch(SLEEP_1, SLEEP_2)
    assert (found.t, found.df, found.p) == pytest.approx((-1.8608134674868526, 17.776473516178488, 0.0793941401873583))
    assert t_interval(found, 0.95) == pytest.approx((-3.3654832307117104, 0.20548323071171137))


def test_welch_agrees_with_scipy_for_unequal_sizes():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, 5), rng.normal(1, 3, 9)
    assert welch(x, y).p == pytest.approx(stats.ttest_ind(x, y, equal_var=False).pvalue)


def test_sign_flip_reproduces_fishers_maize_and_the_sleep_data():
    assert sign_flip_p(MAIZE) == 0.05267333984375
    assert sign_flip_p(SLEEP_2 - SLEEP_1) == 0.00390625
    assert paired_t(MAIZE, np.zeros(15)).p == pytest.approx(0.049702944021800866)


def test_sign_flip_agrees_with_plain_enumeration():
    d = np.random.default_rng(2).normal(0.4, 1, 9)
    sums = [abs(np.dot(signs, d)) for signs in itertools.product((-1, 1), repeat=9)]
    assert sign_flip_p(d) == np.mean(np.array(sums) >= abs(d.sum()) - 1e-12)


@pytest.mark.parametrize("n", range(2, 11))
def test_sign_flip_has_its_smallest_p_when_every_seed_agrees(n: int):
    assert sign_flip_p(np.linspace(1, 2, n)) == 2.0 ** (1 - n)


def test_sign_flip_above_twenty_seeds_is_close_to_the_t_test_and_ignores_the_order_of_seeds():
    d = np.random.default_rng(3).normal(0.5, 1, 40)
    p = sign_flip_p(d)
    assert p == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=0.25)
    assert p == sign_flip_p(d[::-1])


def test_blocked_anova_equals_least_squares_with_arm_and_seed_effects():
    rng = np.random.default_rng(4)
    values = rng.normal(0, 1, (4, 6)) + rng.normal(0, 3, 6)
    arm, seed = np.divmod(np.arange(24), 6)
    columns = [np.ones(24), *(arm == a for a in (1, 2, 3)), *(seed == s for s in range(1, 6))]
    x = np.array(columns, dtype=float).T
    beta, rss, _, _ = np.linalg.lstsq(x, values.ravel(), rcond=None)
    se = np.sqrt(rss[0] / 15 * np.linalg.inv(x.T @ x)[1, 1])
    fit = blocked_anova(values)
    assert [c.gain for c in fit.contrasts] == pytest.approx(list(-beta[1:4]))
    assert fit.contrasts[0].se == pytest.approx(se)
    assert fit.contrasts[0].df == 15


def test_blocked_anova_of_two_arms_is_the_paired_t_test():
    values = np.random.default_rng(5).normal(0, 1, (2, 7))
    pooled, paired = blocked_anova(values).contrasts[0], paired_t(values[0], values[1])
    assert (pooled.t, pooled.df, pooled.p) == pytest.approx((paired.t, paired.df, paired.p))


def test_blocked_anova_reproduces_a_real_table_of_five_arms():
    fit = blocked_anova(SPEEDRUN)
    assert fit.contrasts[0].df == 28
    assert fit.contrasts[0].se == pytest.approx(SPEEDRUN_SE)
    assert [c.t for c in fit.contrasts] == pytest.approx(SPEEDRUN_T)
    assert dunnett_p(fit.contrasts[0].t, 4, 28) == pytest.approx(0.08165, abs=1e-4)
    assert tost_p(fit.contrasts[0], 0.001) == pytest.approx(0.046857104533279806)
    assert tost_p(fit.contrasts[1], 0.001) == pytest.approx(0.9988759910332413)


def test_residual_variance_finds_the_noisy_arm():
    values = np.random.default_rng(6).normal(0, 1, (6, 6))
    values[3] *= 20
    assert np.argmax(blocked_anova(values).residual_variance) == 3


def test_tost_reproduces_a_narrow_and_a_wide_example():
    d = np.array([0.0002, -0.0004, 0.0001, 0.0005, -0.0003, 0.0, 0.0004, -0.0001])
    narrow = paired_t(d, np.zeros(8))
    assert tost_p(narrow, 0.001) == pytest.approx(3.0954072645818406e-05)
    assert t_interval(narrow, 0.9) == pytest.approx((-0.0001618203274848992, 0.0002618203274848991))
    wide = np.array([0.003, -0.004, 0.001, 0.005, -0.003, 0.0, 0.004, -0.001])
    assert tost_p(paired_t(wide, np.zeros(8)), 0.001) == pytest.approx(0.37679739832203746)


@pytest.mark.parametrize("shift", [-0.0004, 0.0004])
def test_tost_is_the_larger_of_two_one_sided_tests(shift: float):
    d = np.random.default_rng(8).normal(shift, 0.0005, 9)
    sides = [
        stats.ttest_1samp(d, -0.001, alternative="greater").pvalue,
        stats.ttest_1samp(d, 0.001, alternative="less").pvalue,
    ]
    assert tost_p(paired_t(d, np.zeros(9)), 0.001) == pytest.approx(max(sides))


def test_holm_reproduces_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_signed_ranks_put_a_diverged_run_beyond_every_number():
    inf = np.inf
    ranks = signed_ranks(np.array([1.0, 2.0, 3.0, inf, inf]), np.array([0.5, inf, 3.1, 4.0, inf]))
    assert ranks.tolist() == [2.0, -3.5, -1.0, 3.5, 0.0]


def test_worst_rank_without_failures_is_wilcoxons_exact_test():
    x = np.array([1.83, 0.5, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.3])
    y = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    direction, p = worst_rank(x, y, paired=True)
    assert direction > 0
    assert p == pytest.approx(stats.wilcoxon(x, y).pvalue)
    assert p / 2 == pytest.approx(0.01953125)


def test_worst_rank_unpaired_counts_diverged_runs_as_worst():
    direction, p = worst_rank(np.array([1.0, 1.1, 1.2, 1.3]), np.array([1.4, 1.5, np.inf, np.inf]), paired=False)
    assert direction < 0
    assert p < 0.05


def test_fisher_flags_five_failures_of_eight_but_not_one():
    assert more_failures_p(5, 0, 8) == pytest.approx(stats.hypergeom.sf(4, 16, 5, 8))
    assert more_failures_p(1, 0, 8) == pytest.approx(0.5)


def test_no_noise_at_all_means_certainty_or_nothing():
    assert (contrast(0.0, 0.0, 5).p, contrast(0.1, 0.0, 5).p) == (1.0, 0.0)
    assert tost_p(contrast(0.0, 0.0, 5), 0.01) == 0.0
    assert tost_p(contrast(0.1, 0.0, 5), 0.01) == 1.0


def test_an_allowance_stays_apart_from_the_sampling_error():
    plain = contrast(1.0, 0.3, 7)
    found = with_allowance(plain, 0.16)
    assert (found.gain, found.sampling_se, found.df, found.allowance) == (1.0, 0.3, 7, 0.16)
    assert found.se == pytest.approx(0.5)
    assert found.p == pytest.approx(2 * stats.t.sf(2.0, 7))
    assert t_interval(found, 0.95)[1] == pytest.approx(1 + stats.t.isf(0.025, 7) * 0.5)
    assert with_allowance(found, 0.0) == plain == with_allowance(plain, 0.0)


def test_an_allowance_leaves_room_for_doubt_where_nothing_varies():
    assert contrast(1.0, 0.0, 7).p == 0
    assert with_allowance(contrast(1.0, 0.0, 7), 1.0).p == pytest.approx(2 * stats.t.sf(1, 7))


@pytest.mark.parametrize("variance", [-1e-9, float("nan"), float("inf")])
def test_an_allowance_is_a_variance(variance: float):
    with pytest.raises(ValueError, match="0 or more"):
        with_allowance(contrast(1.0, 0.3, 7), variance)
