"""The cost of a verdict: the usual design against the noncentral t, and the looks against their definition."""

import numpy as np
import pytest
from scipy import stats

from benchmarks import cost_of_a_verdict
from benchmarks.cost_of_a_verdict import ALPHA, EVERY, Design, Studies, smallest

ERROR = 3.5 * np.sqrt(0.25 / 4000)


@pytest.fixture(scope="module")
def studies() -> Studies:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost_of_a_verdict, "STUDIES", 4000)
        return Studies(0)


def test_the_usual_design_has_the_power_of_the_noncentral_t(studies: Studies) -> None:
    n = 34
    t, ncp = stats.t.isf(ALPHA / 2, 2 * n - 2), studies.effect * np.sqrt(n / 2)
    assert studies.field(n).power == pytest.approx(stats.nct.sf(t, 2 * n - 2, ncp), abs=ERROR)
    assert studies.field(n).false_positives == pytest.approx(ALPHA, abs=0.006)


def test_looks_without_any_early_one_are_a_paired_test(studies: Studies) -> None:
    found = studies.looks("", 0.45, EVERY, 0.05, 0.1)
    ncp = studies.effect * np.sqrt(EVERY / (2 * (1 - 0.45)))
    assert found.runs_null == found.runs_effect == found.most == 2 * EVERY
    assert found.power == pytest.approx(stats.nct.sf(stats.t.isf(0.025, EVERY - 1), EVERY - 1, ncp), abs=ERROR)


def test_looks_cost_fewer_runs_than_their_most(studies: Studies) -> None:
    found = studies.looks("", 0.45, 6 * EVERY, 0.05, 0.1)
    assert 2 * EVERY < found.runs < found.most
    assert found.runs == (found.runs_null + found.runs_effect) / 2


def test_the_smallest_design_is_the_first_with_the_power() -> None:
    designs = [Design("", 0.0, n, 0.01, None, 0.01, power, n, n) for n, power in ((2, 0.5), (4, 0.9), (6, 0.95))]
    assert smallest(iter(designs)) == designs[1]
    assert smallest(iter(designs[:1])) is None
