"""Growth is judged against arithmetic that is known, and the fake study is one that the report accepts."""

from pathlib import Path

import pytest

from benchmarks import growth_curves, study_growth
from benchmarks.growth_curves import Row
from coregpt.engine.accounting import count
from coregpt.report.analysis.collect import collect
from coregpt.report.analysis.summary import summarise


@pytest.mark.parametrize(("power", "worse"), [(0.9, False), (1.1, False), (1.3, True)])
def test_what_outgrows_the_arithmetic_is_flagged(power: float, worse: bool) -> None:
    row = Row("x", "ms", (10, 20, 40), tuple(3 * n**power for n in (10, 20, 40)), allowed=1.0)
    assert row.measured == pytest.approx(power)
    assert row.worse is worse


@pytest.mark.parametrize("axis", growth_curves.SIZES)
def test_every_size_is_a_model_of_that_size(axis: str) -> None:
    sizes = growth_curves.SIZES[axis]
    made = [growth_curves.config(growth_curves.BASE.model_copy(update={axis: size})) for size in sizes]
    costs = [count(config, []) for config in made]
    assert all(config.model.dim % config.model.heads == 0 for config in made)
    assert [cost.parameters for cost in costs] == [  # tables, 12 d^2 a layer, head
        (2 * c.model.vocab + c.model.context) * c.model.dim + 12 * c.model.depth * c.model.dim**2 for c in made
    ]


def test_idle_plugins_reach_the_run() -> None:
    times = growth_curves.plugin_row(1)
    assert times.sizes == growth_curves.PLUGINS
    assert all(cost > 0 for cost in times.costs)


def test_the_fake_study_has_a_whole_report(tmp_path: Path) -> None:
    made = study_growth.planned(tmp_path, 40)
    study_growth.finish(made, tmp_path / "runs")
    report = summarise(*collect(made, tmp_path / "runs"))
    assert [run.status for run in report.runs] == ["finished"] * 40
    assert len(report.comparisons) == 19


@pytest.mark.slow
def test_runs_are_started_both_ways_and_take_their_step() -> None:
    forked, spawned = study_growth.start_seconds(1)
    assert 0 < forked < spawned  # the one that imports torch again takes longer
    assert study_growth.log_microseconds() > 0
