"""Worked values from publications and real runs that no single module owns."""

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from coregpt.stats.contrasts import paired_t, sign_flip_p, t_interval, tost_p, welch
from coregpt.stats.crossed import split_variance
from coregpt.stats.design import smallest_sign_flip_p
from coregpt.stats.distributions import dunnett_p, two_sided_power
from coregpt.stats.looks.anytime import e_value

# Two optimizers on the same sixteen seeds, public speedrun (modded-nanogpt, MIT, Copyright (c) 2024 Keller Jordan).
R40 = np.array(
    [
        3.27641,
        3.27903,
        3.27804,
        3.27809,
        3.27874,
        3.27765,
        3.27758,
        3.27773,
        3.27969,
        3.27825,
        3.27778,
        3.27938,
        3.28068,
        3.27699,
        3.27763,
        3.2806,
    ]
)
R41 = np.array(
    [
        3.27684,
        3.27811,
        3.27606,
        3.27734,
        3.27694,
        3.27707,
        3.27795,
        3.27637,
        3.27861,
        3.27912,
        3.27705,
        3.2797,
        3.28084,
        3.27666,
        3.27572,
        3.27953,
    ]
)

# A 0.1M-parameter byte model after 500 steps: 8 init seeds (rows) x 8 data orders, deterministic.
BASE = np.array(
    [
        [2.7547739, 2.7493691, 2.7462842, 2.7437878, 2.7356510, 2.7494328, 2.7524004, 2.7342048],
        [2.7582970, 2.7530038, 2.7448041, 2.7457376, 2.7339339, 2.7466714, 2.7433305, 2.7427561],
        [2.7574046, 2.7580559, 2.7509227, 2.7528434, 2.7390592, 2.7466435, 2.7489526, 2.7437577],
        [2.7676229, 2.7654502, 2.7592669, 2.7541773, 2.7429276, 2.7539642, 2.7703047, 2.7503579],
        [2.7500122, 2.7551644, 2.7425840, 2.7362401, 2.7271690, 2.7395759, 2.7498488, 2.7420506],
        [2.7612727, 2.7562363, 2.7547076, 2.7532563, 2.7349935, 2.7586634, 2.7580020, 2.7512443],
        [2.7598817, 2.7504766, 2.7486713, 2.7493689, 2.7292564, 2.7466626, 2.7602484, 2.7393353],
        [2.7600372, 2.7584596, 2.7553301, 2.7514434, 2.7515912, 2.7549033, 2.7569461, 2.7555261],
    ]
)


def test_sixteen_real_pairs_are_reproduced():
    paired, unpaired = paired_t(R40, R41), welch(R40, R41)
    assert len(R40) == 16
    assert np.corrcoef(R40, R41)[0, 1] == pytest.approx(0.794087162263815)
    assert (paired.gain, paired.t, paired.p) == pytest.approx(
        (0.0006474999999999398, 2.913350807246148, 0.010700916605697738)
    )
    assert t_interval(paired, 0.95) == pytest.approx((0.0001737796442785558, 0.0011212203557213237))
    assert (unpaired.t, unpaired.df, unpaired.p) == pytest.approx(
        (1.3649154254080027, 29.015860380842653, 0.18277085633500173)
    )
    assert t_interval(unpaired, 0.95) == pytest.approx((-0.00032271011469029126, 0.0016177101146892272))
    assert sign_flip_p(R40 - R41) == 0.012176513671875
    assert e_value(R40 - R41) == pytest.approx(6.745223365054254)
    assert tost_p(paired, 0.001) == pytest.approx(0.06679194793978517)


def test_dunnetts_1955_blood_counts_are_reproduced_unblocked():
    control = [7.4, 8.5, 7.2, 8.24, 9.84, 8.32]
    groups = [[9.76, 8.8, 7.68, 9.36], [12.8, 9.68, 12.16, 9.2, 10.55]]
    found = stats.dunnett(*groups, control=control, rng=np.random.default_rng(0))
    assert found.statistic == pytest.approx([0.8570321259343803, 3.693752311235726])
    assert found.pvalue == pytest.approx([0.6200, 0.0059], abs=1e-3)
    # Ours needs equal groups (correlation 1/2); with these sizes it is off by less than 0.01.
    assert [dunnett_p(t, 2, 12) for t in found.statistic] == pytest.approx([0.6200, 0.0059], abs=0.01)


def test_dunnett_p_values_of_the_real_blocked_table():
    t = [2.3595699479084384, 7.457469444902513, 9.66348820314275, 13.036496002861675]
    found = [dunnett_p(value, 4, 28) for value in t]
    # Adaptive double integration of the definition. The stored values (0.0816498, 6.69e-08, 2.90e-11, 3.33e-16)
    # lose the tail of the noise estimate: the last two lie below the unadjusted p of one contrast (2.04e-10 and
    # 2.06e-13), which an adjusted p never does.
    assert found == pytest.approx([0.08168896684624, 1.5738979415e-07, 8.0358628091e-10, 8.153135e-13], rel=1e-5)
    assert found[0] == pytest.approx(0.0816498365506384, abs=5e-5)
    for p, value in zip(found, t, strict=True):
        alone = 2 * stats.t.sf(value, 28)
        assert alone < p < 4 * alone


def test_cohens_sample_sizes_as_real_numbers():
    def pairs(n: float) -> float:
        return two_sided_power(float(stats.t.isf(0.025, n - 1)), n - 1, 0.5 * math.sqrt(n)) - 0.8

    def per_group(n: float) -> float:
        df = 2 * n - 2
        return two_sided_power(float(stats.t.isf(0.025, df)), df, 0.5 * math.sqrt(n / 2)) - 0.8

    assert optimize.brentq(per_group, 10, 200) == pytest.approx(63.76561058891169, abs=1e-4)
    assert optimize.brentq(pairs, 10, 200) == pytest.approx(33.36713118431779, abs=1e-4)


def test_a_far_tail_that_the_noncentral_t_loses_is_finite_and_tiny():
    # scipy.stats.nct.cdf(-63.6567, 1, 30) is NaN; the lower tail is the part of the power below -critical.
    critical, shift = 63.6567, 30.0

    def lower(chi: float) -> float:
        return stats.norm.cdf(-critical * chi - shift) * 2 * stats.norm.pdf(chi)

    tail = integrate.quad(lower, 0, 0.05, epsabs=0, epsrel=1e-10)[0]
    assert tail == pytest.approx(2.0152212747454683e-201, rel=1e-3)
    both = two_sided_power(critical, 1, shift)
    assert both == pytest.approx(two_sided_power(critical, 1, -shift))
    assert 0 < both < 1


def test_one_sided_sign_flips_have_half_the_two_sided_p():
    sleep = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert sign_flip_p(sleep) / 2 == 0.001953125
    assert [smallest_sign_flip_p(n) / 2 for n in range(2, 11)] == [2.0**-n for n in range(2, 11)]


def test_components_of_a_real_crossed_grid_agree_with_products_of_differences():
    # E[(y_ij - y_kj)(y_il - y_kl)] = 2 var(init) for i != k, j != l: no sums of squares are involved.
    seeds = range(8)
    init = np.mean(
        [
            (BASE[i, j] - BASE[k, j]) * (BASE[i, m] - BASE[k, m]) / 2
            for i, k in combinations(seeds, 2)
            for j, m in permutations(seeds, 2)
        ]
    )
    order = np.mean(
        [
            (BASE[i, j] - BASE[i, m]) * (BASE[k, j] - BASE[k, m]) / 2
            for j, m in combinations(seeds, 2)
            for i, k in permutations(seeds, 2)
        ]
    )
    rest = np.mean(
        [
            (BASE[i, j] - BASE[i, m] - BASE[k, j] + BASE[k, m]) ** 2 / 4
            for i, k in combinations(seeds, 2)
            for j, m in combinations(seeds, 2)
        ]
    )
    found = split_variance(BASE, np.full(2, BASE[0, 0]))
    assert found.rows.variance == pytest.approx(max(0.0, init))
    assert found.columns.variance == pytest.approx(max(0.0, order))
    assert found.interaction.variance == pytest.approx(rest)
    assert found.repetition.variance == 0
