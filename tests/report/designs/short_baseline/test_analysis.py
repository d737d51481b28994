"""Steps saved: the interval is the set of ratios that a plain paired t-test does not reject."""

import numpy as np
import pytest
from scipy import optimize, stats

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.model import Report
from coregpt.report.facts.short_baseline import StepsSaved
from coregpt.report.pages.render import render
from tests.report.studies import runs, study

SHORT = "gpt at 0.8 of its tokens"
LUCK = np.array([0.002, -0.004, 0.001, 0.003, -0.002, 0.0])
BASE = 3.30 + LUCK
REFERENCE = 3.33 + LUCK + np.array([0.001, -0.001, 0.0015, -0.0005, 0.0, -0.001])
ARM = 3.28 + LUCK + np.array([-0.001, 0.0005, 0.001, 0.0, -0.0015, 0.001])


def report(base: np.ndarray, arm: np.ndarray, reference: np.ndarray, lost: int = 0) -> Report:
    """`lost` runs of the yardstick diverge."""
    facts = study(("gpt", "ngpt", SHORT), len(base), yardstick=SHORT)
    arms = tuple(a.model_copy(update={"steps": 80 if a.name == SHORT else 100}) for a in facts.arms)
    short = [*reference[: len(base) - lost].tolist(), *[None] * lost]
    values = {"gpt": base.tolist(), "ngpt": arm.tolist(), SHORT: short}
    return summarise(facts.model_copy(update={"arms": arms}), runs(values))


def saved(made: Report) -> StepsSaved:
    assert made.yardstick is not None
    (found,) = made.yardstick.arms
    return found


def test_steps_and_interval_are_those_a_paired_t_test_cannot_reject() -> None:
    found = saved(report(BASE, ARM, REFERENCE))
    gains, slopes = BASE - ARM, (REFERENCE - BASE) / 20
    assert found.steps == pytest.approx(gains.mean() / slopes.mean())
    assert found.share == pytest.approx(gains.mean() / slopes.mean() / 100)

    def rejected(r: float) -> float:
        return float(stats.ttest_1samp(gains - r * slopes, 0).pvalue - 0.05)

    edges = [optimize.brentq(rejected, *bracket) for bracket in ((0, found.steps), (found.steps, 40))]
    assert found.interval == pytest.approx(tuple(edges), rel=1e-6)
    assert not found.extrapolated


def test_the_yardstick_is_measured_with_and_not_compared() -> None:
    made = report(BASE, ARM, REFERENCE)
    alone = summarise(study(("gpt", "ngpt"), 6), runs({"gpt": BASE.tolist(), "ngpt": ARM.tolist()}))
    assert [c.model_dump() for c in made.comparisons] == [c.model_dump() for c in alone.comparisons]
    assert made.design == alone.design
    page = render(made)["report.md"]
    assert "for 80 instead of 100 steps" in page
    assert f"| {SHORT} | 6/6 |" in page
    assert "| yardstick |" in page


def test_a_gain_beyond_the_yardstick_is_called_extrapolated() -> None:
    assert saved(report(BASE, ARM - 0.05, REFERENCE)).extrapolated


def test_a_slope_lost_in_noise_has_no_finite_interval() -> None:
    noisy = 3.301 + np.array([0.03, -0.03, 0.02, -0.02, 0.01, -0.01])
    found = saved(report(BASE, ARM, noisy))
    assert found.interval is None
    assert "no finite interval" in found.cause
    assert "no finite interval" in render(report(BASE, ARM, noisy))["report.md"]


def test_a_longer_run_that_ends_higher_is_worth_nothing() -> None:
    found = saved(report(BASE, ARM, BASE - 0.03))
    assert (found.steps, found.interval) == (None, None)
    assert "did not end lower" in found.cause


def test_a_lost_run_leaves_no_number_and_the_verdict_as_it_is() -> None:
    made = report(BASE, ARM, REFERENCE, lost=1)
    assert "each finished in the arm, the baseline and the yardstick" in saved(made).cause
    assert saved(made).steps is None
    assert made.comparisons == report(BASE, ARM, REFERENCE).comparisons
