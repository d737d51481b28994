"""`coregpt report`: pages of what the runs in the JSON say, or none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.report.facts.inputs import Confound
from coregpt.report.facts.serialise import to_json
from tests.report import studies

VALUES = {"gpt": [3.0, 3.1, 3.2, 3.05, 3.1], "new": [2.9, 3.0, 3.15, 2.9, 3.0]}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    differs = Confound(setting="optim.lr", values={"gpt": "1", "new": "2"})
    path.write_text(to_json(studies.report(VALUES, confounds=(differs,))))
    return path


def edit(path: Path, **changes: object) -> None:
    data = json.loads(path.read_text())
    data["comparisons"][0].update(changes)
    path.write_text(json.dumps(data))


def test_an_edited_verdict_is_refused_with_both_values_and_nothing_is_written(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(published, verdict="equivalent")
    assert main(["report", str(published), "--out", str(published.parent / "out")]) == 2
    err = capsys.readouterr().err
    assert f"{published}: new: the report says verdict equivalent, but its own runs give better" in err
    assert "`coregpt ablate toy.yaml` makes it anew" in err
    assert not (published.parent / "out").exists()


def test_a_verdict_by_the_rules_of_another_version_is_not_called_an_edit_alone(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(published, verdict="equivalent")
    data = json.loads(published.read_text())
    data["study"]["environment"]["values"]["coregpt"] = "0.0.1"
    published.write_text(json.dumps(data))
    assert main(["report", str(published)]) == 2
    assert "coregpt 0.0.1 wrote it: render it with that version, or it was edited" in capsys.readouterr().err


def test_an_edited_headline_reaches_no_page(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(published.read_text())
    data["headline"] = "New is a miracle."
    published.write_text(json.dumps(data))
    assert main(["report", str(published)]) == 0
    out = capsys.readouterr().out
    assert "The JSON's headline was: New is a miracle." in out
    assert "new is better than gpt." in out
    for name in ("report.md", "report.html", "report.json", "verdict.json"):
        assert "miracle" not in (published.parent / name).read_text()


@pytest.mark.parametrize(
    "change",
    [
        lambda study: study["arms"][1].update(parameters=1),
        lambda study: study.update(confounds=[]),
        lambda study: study.update(question="Is it a miracle?"),
        lambda study: study["data"].update(train_tokens=1_000_000),
    ],
)
def test_facts_that_follow_from_nothing_else_cannot_be_edited_either(
    published: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None]
) -> None:
    data = json.loads(published.read_text())
    change(data["study"])
    published.write_text(json.dumps(data, indent=1))
    assert main(["report", str(published), "--out", str(published.parent / "out")]) == 2
    assert "its study or its runs are not those that were written" in capsys.readouterr().err
    assert not (published.parent / "out").exists()


def test_the_seal_is_of_facts_and_not_of_how_they_are_laid_out(published: Path) -> None:
    published.write_text(json.dumps(json.loads(published.read_text()), indent=2))
    assert main(["report", str(published)]) == 0


def test_a_report_without_its_seal_is_refused(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or whoever edits a fact would delete one line more."""
    data = json.loads(published.read_text())
    data["study"]["arms"][1]["parameters"] = 1
    del data["seal"]
    published.write_text(json.dumps(data))
    assert main(["report", str(published), "--out", str(published.parent / "out")]) == 2
    assert "report.json: it has no seal, with which every report is written; it was edited" in capsys.readouterr().err
    assert not (published.parent / "out").exists()


def test_a_run_taken_out_is_told_in_plain_words(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(published.read_text())
    data["runs"].pop()
    published.write_text(json.dumps(data))
    assert main(["report", str(published)]) == 2
    assert f"{published}: runs must list every arm with every seed, in order\n" in capsys.readouterr().err


def test_a_study_file_or_a_folder_is_told_which_file_is_meant(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(published.parent)
    Path("s.yaml").write_text("question: Does it help?\n")
    assert main(["report", "s.yaml"]) == 2
    assert "s.yaml: a study file; expected its report.json" in capsys.readouterr().err
    Path("reports/s").mkdir(parents=True)
    shutil.copy(published, "reports/s/report.json")
    assert main(["report", "s.yaml"]) == 2
    assert "expected its reports/s/report.json" in capsys.readouterr().err
    assert main(["report", "reports/s"]) == 2
    assert "a folder; expected reports/s/report.json" in capsys.readouterr().err
    assert main(["report", "reports/s/report.json"]) == 0
