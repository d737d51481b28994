"""Target tests: published lists of runs, scipy, and the order of steps."""

import numpy as np
import pytest
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.target import earliest_step, fixed_sigma_p, speedrun_rule, target_test, target_test_of


@pytest.mark.parametrize(
    ("mean", "sd", "n", "target", "t", "p"),
    [
        (3.2791425, 0.0019102504971927916, 80, 3.28, -4.01503005710241, 6.720589313298247e-05),  # SoftCap
        (3.278985714285714, 0.0007057586259445602, 7, 3.28, -3.802359134858245, 0.004471545385877614),  # PolarExpress
        (2.9197368214285713, 0.0007835970267072948, 28, 2.92, -1.7772018695052398, 0.04340171700038694),  # NewValemb
    ],
)
def test_published_lists_of_runs_are_reproduced(mean: float, sd: float, n: int, target: float, t: float, p: float):
    found = target_test_of(mean, sd, n, target)
    assert (found.t, found.p) == pytest.approx((t, p))
    assert found.passed is (p < 0.01)


def test_the_test_agrees_with_scipy():
    values = np.random.default_rng(0).normal(3.279, 0.001, 6)
    expected = stats.ttest_1samp(values, 3.28, alternative="less")
    found = target_test(values, 3.28)
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_two_runs_are_refused():
    with pytest.raises(ConfigError, match="at least 3 runs"):
        target_test(np.array([3.0, 3.0]), 3.28)


def test_equal_runs_pass_or_fail_with_certainty():
    assert target_test(np.full(3, 3.27), 3.28).p == 0
    assert target_test(np.full(3, 3.29), 3.28).p == 1
    assert target_test(np.full(3, 3.28), 3.28).p == 0.5


def test_steps_are_claimed_from_the_last_backwards_until_one_fails():
    rng = np.random.default_rng(1)
    means = np.array([3.30, 3.27, 3.29, 3.27, 3.26])  # the second step passes alone, but the third fails
    values = means + rng.normal(0, 0.0005, (6, 5))
    assert earliest_step([100, 200, 300, 400, 500], values, 3.28) == 400
    assert earliest_step([100, 200, 300], values[:, :3], 3.28) is None


def test_the_speedrun_rule_takes_sigma_for_granted():
    assert speedrun_rule(3.278, 4, 3.28)
    assert not speedrun_rule(3.2781, 4, 3.28)
    assert fixed_sigma_p(3.278, 4, 3.28) == pytest.approx(stats.norm.sf(0.004 / 0.0013))
    noisy = np.array([3.270, 3.286, 3.271, 3.284])
    assert speedrun_rule(float(noisy.mean()), 4, 3.28)
    assert not target_test(noisy, 3.28).passed
