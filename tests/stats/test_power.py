"""Planning: what a design can detect and how many seeds settle a question."""

import math

import numpy as np
import pytest
from scipy import stats

from coregpt.stats.contrasts import blocked_anova
from coregpt.stats.design import choose_test
from coregpt.stats.distributions import dunnett_critical, equivalence_power, two_sided_power
from coregpt.stats.power import (
    cautious_sd,
    critical_value,
    detectable,
    difference_sd,
    out_of_reach,
    power_to_detect,
    seeds_needed,
    smallest_detectable,
)


def test_power_of_five_pairs_matches_the_worked_example():
    sd = difference_sd(0.0011, 0.75)
    assert power_to_detect(0.002, sd, choose_test(5, 1), 0.01) == pytest.approx(0.7813795178630846, abs=1e-6)


def test_power_reproduces_cohens_sample_sizes():
    def power(n: int) -> float:
        return two_sided_power(float(stats.t.isf(0.025, n - 1)), n - 1, 0.5 * math.sqrt(n))

    assert power(33) < 0.8 <= power(34)
    welch = choose_test(64, 1, paired=False)
    assert power_to_detect(0.5, difference_sd(1.0), welch, 0.05) >= 0.8
    assert power_to_detect(0.5, difference_sd(1.0), choose_test(63, 1, paired=False), 0.05) < 0.8


def test_welch_power_of_eleven_seeds_matches_the_worked_example():
    found = power_to_detect(0.002, difference_sd(0.0011), choose_test(11, 1, paired=False), 0.01)
    assert found == pytest.approx(0.9075866828394242, abs=1e-5)


@pytest.mark.parametrize(("seeds", "treatments"), [(5, 1), (6, 4), (12, 3)])
def test_the_smallest_detectable_difference_is_detected_with_the_stated_power(seeds: int, treatments: int):
    found = smallest_detectable(0.01, seeds, treatments, power=0.9)
    assert found is not None
    assert power_to_detect(found, 0.01, choose_test(seeds, treatments), 0.05) == pytest.approx(0.9, abs=1e-6)


def test_the_smallest_detectable_difference_scales_with_noise_and_shrinks_with_seeds():
    few, many = smallest_detectable(0.01, 5), smallest_detectable(0.01, 20)
    double = smallest_detectable(0.02, 5)
    assert few is not None
    assert many is not None
    assert double == pytest.approx(2 * few)
    assert many < few


def test_two_seeds_detect_nothing():
    assert smallest_detectable(0.01, 2) is None
    assert power_to_detect(5.0, 0.01, choose_test(2, 1), 0.05) == 0.0


def test_seeds_needed_is_the_smallest_number_that_settles_the_margin():
    n = seeds_needed(0.02, 0.01, 1)
    assert n is not None
    assert (smallest_detectable(0.02, n) or 1) <= 0.01
    assert seeds_needed(0.02, 0.01, 1, at_least=n + 5) == n + 5
    fewer = choose_test(n - 1, 1)
    rng = np.random.default_rng(0)
    d = rng.normal(0, 0.02, (20_000, n - 1))
    half = stats.t.isf(0.05, fewer.error_df) * d.std(1, ddof=1) / math.sqrt(n - 1)
    equivalence = float(np.mean(np.abs(d.mean(1)) + half < 0.01))
    assert min(power_to_detect(0.01, 0.02, fewer, 0.05), equivalence) < 0.905


def test_planning_several_arms_counts_the_correction():
    assert smallest_detectable(0.01, 12, 3, alpha=0.06) == pytest.approx(smallest_detectable(0.01, 12, 1, alpha=0.02))


def test_seeds_needed_also_asks_that_no_difference_can_be_shown():
    n = seeds_needed(0.02, 0.01, alpha=0.3)
    assert n is not None
    powers = [equivalence_power(0.5 * math.sqrt(m), m - 1, 0.05) for m in (n - 1, n)]
    assert powers[0] < 0.9 <= powers[1]


def test_seeds_needed_gives_up_beyond_a_thousand():
    assert seeds_needed(3.0, 0.01) is None


def test_a_cautious_sd_covers_the_true_one_four_times_in_five():
    rng = np.random.default_rng(1)
    sds = rng.normal(0, 1, (5000, 6)).std(1, ddof=1)
    assert np.mean([cautious_sd(float(sd), 5) >= 1 for sd in sds]) == pytest.approx(0.8, abs=0.02)


def test_the_power_of_pooled_dunnett_comparisons_agrees_with_simulation():
    rng = np.random.default_rng(2)
    repeats, hits, critical = 4000, 0, dunnett_critical(0.05, 3, 12)
    for _ in range(repeats):
        values = rng.normal(0, 1, (4, 5)) + rng.normal(0, 2, 5)
        values[1] -= 2.5
        fit = blocked_anova(values).contrasts[0]
        hits += abs(fit.t) > critical
    expected = power_to_detect(2.5, math.sqrt(2), choose_test(5, 3), 0.05)
    assert hits / repeats == pytest.approx(expected, abs=3 * math.sqrt(0.25 / repeats))


def simulated_power(difference: float, n: int, allowance: float) -> float:
    """Share of significant gains whose luck of tuning is as large as the allowance, noise sd 1."""
    rng = np.random.default_rng(0)
    d = difference + rng.normal(0, math.sqrt(allowance), (40_000, 1)) + rng.normal(size=(40_000, n))
    t = d.mean(1) / np.sqrt(d.var(1, ddof=1) / n + allowance)
    return float((2 * stats.t.sf(np.abs(t), n - 1) < 0.05).mean())


@pytest.mark.parametrize(("n", "allowance"), [(6, 0.05), (6, 0.5), (30, 0.2)])
def test_power_with_an_allowance_is_that_of_simulated_studies(n: int, allowance: float):
    found = power_to_detect(1.5, 1.0, choose_test(n, 1), 0.05, allowance)
    assert found == pytest.approx(simulated_power(1.5, n, allowance), abs=0.01)
    least = detectable(choose_test(n, 1), 1.0, 0.05, 0.8, allowance)
    assert least is not None
    assert simulated_power(least, n, allowance) == pytest.approx(0.8, abs=0.01)


def test_an_allowance_of_nothing_changes_no_digit():
    for n, k in ((5, 1), (5, 3), (20, 2)):
        design = choose_test(n, k)
        assert detectable(design, 0.0313, 0.05, 0.9, 0.0) == detectable(design, 0.0313, 0.05, 0.9)
        root = (detectable(design, 1.0, 0.05, 0.9) or 0) * math.sqrt(n)
        assert two_sided_power(critical_value(design, 0.05), design.error_df, root) == pytest.approx(0.9, abs=1e-9)


def test_more_seeds_shrink_the_noise_and_not_the_allowance():
    sd, allowance = 0.04, 0.01**2
    floor = (1.959964 + 1.281552) * 0.01  # normal quantiles of 0.05 two-sided and of power 0.9
    found = [detectable(choose_test(n, 1), sd, 0.05, 0.9, allowance) or 0 for n in (10, 100, 10_000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(floor, rel=0.01)


def test_a_margin_can_be_out_of_reach_of_any_number_of_seeds():
    margin, sd = 0.02, 0.02
    without, some, much = (seeds_needed(sd, margin, allowance=a) for a in (0.0, 0.003**2, 0.007**2))
    assert without is not None
    assert some is not None
    assert some > without
    assert much is None
    assert [out_of_reach(margin, allowance=a) for a in (0.0, 0.003**2, 0.007**2)] == [False, False, True]
    assert seeds_needed(1.0, margin) is None  # too noisy for 1000 seeds, which is another thing
    assert not out_of_reach(margin)


def test_tuned_arms_are_planned_with_the_test_they_get():
    assert seeds_needed(0.001, 0.02, 3, allowance=1e-8) == 5
    assert seeds_needed(0.001, 0.02, 3) == 3
