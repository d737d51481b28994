"""Tuning in the report: doubts that are told, tables and charts, and the way through JSON."""

import math
from typing import Any

import pytest

from coregpt.lab.study.sections.space import Choices, Range
from coregpt.report.designs.tuning.analysis import tuning_notes
from coregpt.report.designs.tuning.charts import expected_best_chart, numeric_paths, response_chart
from coregpt.report.designs.tuning.collect import edges
from coregpt.report.designs.tuning.section import best_table, spent_table, trials_table
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.facts.tuning import ArmTuning, Trial, Tuned
from coregpt.report.pages.render import render
from coregpt.report.reading.found import Found, with_found
from coregpt.stats.tuning import best_trial, expected_best_curve
from tests.report import studies

LR = Range(0.001, 0.1, log=True)


def arm(name: str, losses: dict[float, float], **changes: Any) -> ArmTuning:
    """An arm with one trial per learning rate, one tuning seed."""
    trials = tuple(
        Trial(number=i, settings={"optim.lr": lr, "kind": "x"}, values=(loss,), mean=loss)
        for i, (lr, loss) in enumerate(losses.items(), 1)
    )
    chosen = best_trial([trial.values for trial in trials])
    facts: dict[str, Any] = {
        "arm": name,
        "space": {"optim.lr": LR.declared(), "kind": ["x", "y"]},
        "trials": trials,
        "chosen": chosen + 1,
        "expected_best": tuple(expected_best_curve([trial.mean for trial in trials])),
        "edges": edges({"optim.lr": LR, "kind": Choices(("x", "y"))}, trials[chosen].settings),
        "runs": len(trials),
        "diverged": sum(math.isinf(loss) for loss in losses.values()),
        "started": len(trials),
        "flops": 6e9,
    }
    return ArmTuning(**(facts | changes))


BASE = arm("gpt", {0.002: 3.1, 0.01: 3.0, 0.05: 3.2})
TUNED = arm("ngpt", {0.002: 3.3, 0.01: math.inf, 0.08: 2.9})


def found(seconds: dict[str, float]) -> Found:
    tuned = Tuned(seeds=(1000,), arms=(BASE, TUNED))
    notes = tuple(tuning_notes(tuned))
    return Found(settings=tuned.settings, lines=(), fields={"tuning": tuned}, seconds=seconds, notes=notes)


@pytest.fixture
def report() -> Report:
    plain = studies.report({"gpt": [3.0, 3.1, 3.05, 3.02], "ngpt": [2.9, 3.0, 2.96, 2.9]})
    return with_found(plain, found({"gpt": 12.0, "ngpt": 14.0}))


@pytest.mark.parametrize(
    ("dimension", "value", "edge"),
    [
        (LR, 0.0015, True),  # log10 0.0015 = -2.82, the outer tenth of -3 .. -1 ends at -2.8
        (LR, 0.0017, False),
        (LR, 0.07, True),
        (Range(0.001, 0.1), 0.07, False),  # the same number on a linear range
        (Range(1, 4, whole=True), 4, True),
        (Choices((1, 2, 4)), 1, True),
        (Choices((1, 2, 4)), 2, False),
        (Choices((2, 1, 4)), 2, False),  # not in order: no ends
        (Choices((1, 2)), 1, False),  # one of two always is an end
        (Choices(("a", "b", "c")), "a", False),
    ],
)
def test_the_edge_is_the_outer_tenth_of_a_range_or_an_end_of_an_ordered_list(
    dimension: Range | Choices, value: object, edge: bool
) -> None:
    assert bool(edges({"x": dimension}, {"x": value})) is edge


def test_a_best_value_on_the_edge_is_told(report: Report) -> None:
    assert any("ngpt: optim.lr 0.08 is on the edge of its space" in note for note in report.notes)
    assert not any("gpt: optim.lr 0.01" in note for note in report.notes)


def test_unequal_effort_counts_every_run_ever_started() -> None:
    more = TUNED.model_copy(update={"started": 9})
    notes = tuning_notes(Tuned(seeds=(1000,), arms=(BASE, more)))
    assert any("3 runs for gpt and 9 runs for ngpt" in note for note in notes)


def test_an_arm_of_which_every_trial_diverged_is_told() -> None:
    lost = arm("ngpt", {0.002: math.inf, 0.01: math.inf, 0.08: math.inf})
    assert lost.chosen == 1
    assert any("every trial" in note for note in tuning_notes(Tuned(seeds=(1,), arms=(BASE, lost))))


def test_tables_say_what_was_tried_and_spent(report: Report) -> None:
    assert [row[-1] for row in trials_table(report, TUNED).rows] == ["3.3000", "∞", "2.9000 ← used"]
    assert [row[0:4] for row in spent_table(report).rows] == [("gpt", "3", "3 of 3", "0"), ("ngpt", "3", "3 of 3", "1")]
    assert best_table(report).rows[2] == ("3", "3.0000", "2.9000")
    assert best_table(report).rows[0] == ("1", "3.1000", "∞")


def test_charts_show_every_finite_trial_and_mark_the_others(report: Report) -> None:
    assert numeric_paths(report) == ["optim.lr"]
    chart = response_chart(report, "optim.lr")
    assert chart.count('class="hollow"') == 3
    assert chart.count("×") == 1
    assert "optim.lr (log scale)" in chart
    assert expected_best_chart(report).count("<polyline") == 2


def test_it_survives_json_and_stands_on_both_pages(report: Report) -> None:
    assert from_json(to_json(report)).tuning == report.tuning
    pages = render(report)
    for page in ("report.md", "report.html"):
        assert "How the settings were found" in pages[page]
        assert "∞ where a run diverged" in pages[page]
    plain = studies.report({"gpt": [3.0, 3.1, 3.05], "ngpt": [2.9, 3.0, 2.96]})
    assert "How the settings were found" not in render(plain)["report.html"]


def test_seconds_are_part_of_the_timing_alone(report: Report) -> None:
    slower = with_found(report.model_copy(update={"notes": ()}), found({"gpt": 99.0}))
    assert slower.tuning == report.tuning
    assert slower.timing.tuning != report.timing.tuning
