"""The numbers of seeds that the fork benchmark compares, against the definition of power."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.fork_cost import Seeds, cost
from coregpt.report.facts.inputs import ForkFacts
from coregpt.report.facts.model import Report
from tests.report.studies import report

RANDOM = np.random.default_rng(3)
SEEDS = RANDOM.normal(3.0, 0.02, 8)
VALUES = {"cooldown": SEEDS.tolist(), "average": (SEEDS + RANDOM.normal(0.0, 0.002, 8)).tolist()}


@pytest.fixture(scope="module")
def made() -> Report:
    return report(VALUES, fork=ForkFacts(step=6, tokens=6000, trunks=()), mode="fork", alpha=0.01, margin=0.01)


def power(difference: float, sd: float, n: int, df: int) -> float:
    """Of a two-sided t-test at 1% whose estimate has the standard error sd / sqrt(n)."""
    critical, shift = stats.t.isf(0.005, df), difference * math.sqrt(n) / sd
    return float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("sd", [0.004, 0.008, 0.012])
def test_the_seeds_are_the_fewest_with_the_power(made: Report, paired: bool, sd: float) -> None:
    n = int(Seeds(made, paired).of(sd))
    df = (lambda n: n - 1) if paired else (lambda n: 2 * (n - 1))
    assert power(0.01, sd, n, df(n)) >= 0.9
    fewest = 5 if paired else 3  # below, the design tests nothing
    assert n == fewest or power(0.01, sd, n - 1, df(n - 1)) < 0.9


def test_a_fork_counts_its_trunk_once_per_pair(made: Report) -> None:
    found = cost(made, made.comparisons[0])
    values = {arm: np.array(column) for arm, column in VALUES.items()}
    assert found.seed_sd == pytest.approx(values["cooldown"].std(ddof=1))
    assert found.difference_sd == pytest.approx((values["average"] - values["cooldown"]).std(ddof=1))
    assert found.fork_runs == pytest.approx(found.fork_seeds * 1.25)  # 0.75 + 2 x 0.25
    assert found.independent_runs == 2 * found.independent_seeds
    assert found.interval[0] < found.ratio < found.interval[1]
    assert found.ratio == found.fork_runs / found.independent_runs
