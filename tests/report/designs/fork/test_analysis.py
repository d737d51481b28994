"""What a report says of a fork: made-up numbers, counted by hand."""

from typing import Any

import pytest

from coregpt.report.facts.inputs import ForkFacts, TrunkFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.render import render
from tests.report.studies import report

FORK = ForkFacts(
    step=6, tokens=6000, trunks=tuple(TrunkFacts(run_id=f"t{s}", seed=s, state=f"{s}" * 64) for s in range(5))
)
VALUES = {
    "cooldown": [3.1, 3.2, 3.3, 3.15, 3.25],
    "average": [3.11, 3.213, 3.309, 3.162, 3.261],
    "idle": [3.1, 3.2, 3.3, 3.15, 3.25],
}


def forked(**changes: Any) -> Report:
    return report(VALUES, fork=FORK, mode="fork", **changes)


def test_the_trunk_is_counted_once() -> None:
    found = forked().fork
    assert found is not None
    assert found.share == 0.75
    assert found.tokens == 5 * (6000 + 3 * 2000)  # an arm of 8000 tokens trains the last 2000
    assert found.whole_tokens == 5 * 3 * 8000
    assert found.flops == pytest.approx(found.tokens * 6000.0)


def test_the_first_note_says_what_a_branch_is() -> None:
    made = forked()
    assert made.notes[0].startswith("Every arm is cooldown until step 6 and its own settings afterwards")
    assert "not what it does from the start of training" in made.notes[0]


def test_an_arm_that_never_left_the_baseline_is_told() -> None:
    made = forked()
    assert made.fork is not None
    assert made.fork.unchanged == ("idle",)
    assert made.notes[1].startswith("idle ended at exactly the baseline's number with every seed")


def test_both_pages_show_costs_and_trunks() -> None:
    made = forked()
    files = render(made)
    for page in (files["report.html"], files["report.md"]):
        assert "What the arms share" in page
        assert "The study trained 50% of the tokens that separate runs would have." in page
        assert "4" * 64 in page
    assert from_json(to_json(made)) == made


def test_other_studies_say_nothing_of_forks() -> None:
    made = report(VALUES)
    assert made.fork is None
    assert "What the arms share" not in render(made)["report.html"]
