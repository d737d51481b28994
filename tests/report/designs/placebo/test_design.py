"""The rate of a placebo: what is drawn, how often it errs, and the one line of a report."""

import numpy as np
import pytest
from scipy import stats

from coregpt.report.analysis.null_studies import as_runs, made_up
from coregpt.report.analysis.placebo import once, rate, told
from coregpt.report.analysis.summary import summarise

FACTS = made_up(2, 6, paired=True)
POOL = dict(enumerate(np.random.default_rng(0).normal(3.0, 0.01, 40)))


def test_runs_that_are_alike_are_called_different_as_often_as_alpha_says() -> None:
    called = rate(FACTS, "arm1", POOL, 300)
    assert stats.binomtest(called, 300, 0.05).pvalue > 0.01
    assert called == rate(FACTS, "arm1", POOL, 300)


def test_the_one_for_real_takes_other_runs_under_the_second_name() -> None:
    values = np.random.default_rng(1).normal(size=12)
    runs = [run.model_copy(update={"arm": "arm0"}) for run in as_runs(values[None])]
    report = once(FACTS, runs, "arm1")
    assert [run.arm for run in report.runs] == ["arm0"] * 6 + ["arm1"] * 6
    assert report.comparisons[0].gain == pytest.approx(0.01 * (values[:6].mean() - values[6:].mean()))


def test_the_line_has_the_exact_interval() -> None:
    found = told(once(FACTS, as_runs(np.arange(12.0)[None] % 5), "arm1"), POOL, 1000, 51)
    assert found.interval == pytest.approx((0.0382052, 0.0665135), abs=1e-6)
    report = summarise(
        FACTS.model_copy(update={"placebo": found}), as_runs(np.random.default_rng(2).normal(size=(2, 6)))
    )
    (line,) = [note for note in report.notes if note.startswith("Placebo")]
    assert "of 1,000 studies of arm0 against itself, 6 seeds a side, drawn from 40 of its runs, 5.1% called" in line
    assert "3.8% to 6.7%" in line
