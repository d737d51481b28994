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
    difference_sd,
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
