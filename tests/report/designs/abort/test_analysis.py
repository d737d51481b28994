"""Arms left unfinished: made-up losses whose prospects are plain."""

import pytest

from coregpt.report.analysis.own_runs import contradictions
from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.inputs import PauseFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.runs import RunFacts
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.render import render
from tests.report.designs.looks.test_analysis import BASE, CLEAR, EVEN, LIKE
from tests.report.studies import run, study

PAUSED = PauseFacts(
    step=7,
    steps=10,
    losses={
        "gpt": tuple(b + 0.2 for b in BASE),
        "clear": tuple(c + 0.2 for c in CLEAR),
        "like": tuple(b + 0.2 + 3 * e for b, e in zip(BASE, EVEN, strict=True)),
    },
)


def paused(runs: list[RunFacts]) -> Report:
    return summarise(study(("gpt", "clear", "like"), 8, pause=PAUSED), runs)


def test_an_arm_without_prospects_is_aborted_and_not_equal() -> None:
    columns = {"gpt": BASE, "clear": CLEAR}
    made = paused([run(arm, seed, value) for arm, column in columns.items() for seed, value in enumerate(column)])
    clear, like = made.comparisons
    assert clear.verdict == "better"
    assert like.verdict == "inconclusive"
    assert like.cause.startswith("aborted at step 7 of 10: a significant difference was unlikely (P = ")
    assert {r.status for r in made.runs if r.arm == "like"} == {"aborted"}
    assert made.pause is not None
    assert [(arm.arm, arm.aborted) for arm in made.pause.arms] == [("clear", False), ("like", True)]
    assert made.pause.saved == pytest.approx(8 * 3 / (24 * 10))
    assert contradictions(made) == []
    assert from_json(to_json(made)) == made
    assert "not finished" in render(made)["report.md"]


def test_finished_runs_of_an_aborted_arm_do_not_count() -> None:
    columns = {"gpt": BASE, "clear": CLEAR, "like": LIKE}
    made = paused([run(arm, seed, value) for arm, column in columns.items() for seed, value in enumerate(column)])
    assert made.comparisons[1].cause.startswith("aborted")
    assert {r.reason for r in made.runs if r.arm == "like"} == {"not counted"}


def test_before_the_baseline_is_complete_nothing_is_aborted() -> None:
    made = paused([run("gpt", seed, value) for seed, value in enumerate(BASE[:7])])
    assert made.pause is not None
    assert [arm.chance for arm in made.pause.arms] == [None, None]
    assert [c.verdict for c in made.comparisons] == ["invalid", "invalid"]
