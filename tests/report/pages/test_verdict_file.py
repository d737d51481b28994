"""`verdict.json`: short, by its published schema, and never better news than the report."""

import json
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json
from coregpt.report.facts.verdict_file import BYTES
from coregpt.report.pages.render import render
from coregpt.report.pages.verdict_file import verdict_json, verdict_of
from tests.report.facts.test_schema import faults
from tests.report.studies import report
from tests.report.verdicts.test_compare import base, shifted

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs/verdict.schema.json").read_text())
COMMITTED = sorted((ROOT / "reports").glob("*/report.json"))


def file_of(made: Report) -> dict[str, Any]:
    text = verdict_json(made)
    data: dict[str, Any] = json.loads(text)
    assert len(text.encode()) <= BYTES
    assert faults(data, SCHEMA, SCHEMA, "verdict") == []
    return data


def declared(made: Report, **study: Any) -> Report:
    return made.model_copy(update={"study": made.study.model_copy(update=study)})


def test_it_is_one_of_the_reports_files() -> None:
    made = report({"gpt": base(), "arm": shifted(0.5)})
    assert render(made)["verdict.json"] == verdict_json(made)


def test_gain_interval_and_p_are_the_reports() -> None:
    made = report({"gpt": base(), "arm": shifted(0.5)})
    (mine,), (c,) = file_of(made)["arms"], made.comparisons
    assert (mine["verdict"], mine["gain"], tuple(mine["interval"] or ()), mine["p"]) == (
        c.verdict,
        c.gain,
        c.interval,
        c.p_adjusted,
    )
    assert file_of(made)["exit_code"] in (10, 11)


def test_a_pilot_has_no_verdict_in_it() -> None:
    made = declared(report({"gpt": base(), "arm": shifted(0.5)}), declaration={"test": {"pilot": True}})
    data = file_of(made)
    assert (data["verdict"], data["exit_code"]) == (None, 13)
    assert [(arm["verdict"], arm["p"], arm["size"]) for arm in data["arms"]] == [(None, None, "")]
    words = " ".join(str(value) for key, value in data.items() if key != "headline")
    assert "better" not in words
    assert "worse" not in words


def test_an_exploratory_study_decides_nothing() -> None:
    data = file_of(declared(report({"gpt": base(), "arm": shifted(0.5)}), exploratory="amended"))
    assert (data["verdict"], data["exit_code"], data["exploratory"]) == ("undecided", 13, True)
    assert "anew" in data["next"]


def test_a_run_without_an_outcome_is_broken_and_says_why() -> None:
    made = report({"gpt": base(), "arm": [None, *shifted(0.5)[1:]]})
    data = file_of(made)
    assert data["cost"]["diverged"] + data["cost"]["lost"] == 1
    assert data["exit_code"] == verdict_of(made).exit_code != 10


def test_many_arms_with_long_names_still_fit() -> None:
    arms = {f"an arm with a long name, number {i}": shifted(0.01 * i) for i in range(1, 30)}
    made = report({"gpt": base(), **arms})
    data = file_of(made)
    assert data["arms_left_out"] == 29 - len(data["arms"]) > 0
    assert data["exit_code"] == verdict_of(made).exit_code


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_every_committed_report_has_one(path: Path) -> None:
    file_of(from_json(path.read_text()))


def test_the_published_schema_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "verdict"]) == 0
    printed = capsys.readouterr().out
    again = "coregpt schema verdict > docs/verdict.schema.json"
    assert (ROOT / "docs/verdict.schema.json").read_text() == printed, f"the model changed: {again}"
