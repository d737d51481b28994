"""One name, one study: whoever wants a name or a folder that is another's is refused before anything is written."""

import json
import shutil
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.planning.load import load
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.owner import other_file, place
from tests.lab.conftest import Lab, write_study
from tests.lab.logs import made as logs

Screen = pytest.CaptureFixture[str]


def other(executed: Lab, folder: Path, **changes: object) -> Path:
    folder.mkdir()
    return write_study(folder / "tiny.yaml", executed.data, **changes)


def ablate(study: Path, runs: Path, reports: Path) -> int:
    return main(["ablate", str(study), "--runs", str(runs), "--reports", str(reports), "--no-mlflow"])


def test_a_study_file_of_the_same_name_elsewhere_is_refused_and_nothing_is_written(
    executed: Lab, tmp_path: Path, capsys: Screen
) -> None:
    mine = other(executed, tmp_path / "b", question="Something else?")
    before = (executed.reports / "tiny" / "report.json").read_bytes()
    assert ablate(mine, executed.runs, executed.reports) == 2
    err = capsys.readouterr().err
    assert f"{mine}: in {executed.runs} the name 'tiny' belongs to another study, {executed.study}" in err
    assert "Rename one of the two files" in err
    assert (executed.reports / "tiny" / "report.json").read_bytes() == before


def test_with_runs_of_its_own_it_may_still_not_replace_the_report(
    executed: Lab, tmp_path: Path, capsys: Screen
) -> None:
    mine = other(executed, tmp_path / "b", question="Something else?")
    assert ablate(mine, tmp_path / "runs", executed.reports) == 2
    err = capsys.readouterr().err
    assert f"{executed.reports / 'tiny'} holds the report on the study tiny (`coregpt ablate tiny.yaml`)" in err
    assert "--reports DIR" in err
    assert not list((tmp_path / "runs").glob("*/config.json"))


def test_a_copy_that_says_the_same_is_the_same_study_and_a_moved_file_takes_its_name_along(
    executed: Lab, tmp_path: Path
) -> None:
    entries = Ledger.of(executed.runs).read()
    assert other_file(load(other(executed, tmp_path / "copy")), entries, executed.runs) is None
    elsewhere = load(other(executed, tmp_path / "b", question="Something else?"))
    assert other_file(elsewhere, entries, executed.runs) == executed.study
    assert other_file(elsewhere, entries, tmp_path / "moved" / "runs") is None  # nothing lies there any more
    assert place(load(executed.study), executed.runs) == "../tiny.yaml"


def test_logs_may_not_replace_the_report_of_a_study_nor_a_study_that_of_logs(
    executed: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(executed.reports / "tiny", tmp_path / "runs/reports/tiny")
    logs.write_arms(tmp_path / "logs", {"base": [3.28, 3.29, 3.27], "new": [3.2, 3.21, 3.22]})
    assert main(["import", "logs", "--name", "tiny"]) == 2
    assert "holds the report on the study tiny" in capsys.readouterr().err
    assert main(["import", "logs", "--name", "other"]) == 0
    assert main(["import", "logs", "--name", "other", "--alpha", "0.01"]) == 0, "the same logs, judged otherwise"
    (tmp_path / "logs").rename(tmp_path / "more")
    assert main(["import", "more", "--name", "other"]) == 2
    shutil.copytree(tmp_path / "runs/reports/other", tmp_path / "theirs" / "tiny")
    assert ablate(executed.study, tmp_path / "runs", tmp_path / "theirs") == 2
    assert "holds the report on the training logs in logs" in capsys.readouterr().err


# -- declared comparisons without an outcome ------------------------------------------------------------------------


@pytest.fixture
def copied(executed: Lab, tmp_path: Path) -> Lab:
    shutil.copytree(executed.folder, tmp_path / "here")
    folder = tmp_path / "here"
    return Lab(folder, executed.data, folder / "tiny.yaml")


def a_run(lab: Lab) -> Path:
    return sorted(lab.runs.glob("*/config.json"))[0].parent


def test_a_run_whose_curve_was_cut_ends_with_the_remedy_and_exit_1(copied: Lab, capsys: Screen) -> None:
    run = a_run(copied)
    metrics = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(metrics[:-1]))
    assert main(copied.command("--no-mlflow")) == 1
    out = capsys.readouterr().out
    assert f"({run}): its metrics.jsonl does not end with its result; delete the folder to repeat the run" in out
    shutil.rmtree(run)
    assert main(copied.command("--no-mlflow")) == 0


def test_a_run_that_lost_its_config_is_repeated(copied: Lab, capsys: Screen) -> None:
    run, before = a_run(copied), copied.report()["comparisons"]
    result = json.loads((run / "result.json").read_text())
    (run / "config.json").unlink()
    assert main(copied.command("--no-mlflow")) == 0
    assert f"{run} has lost its config.json; the run is repeated" in capsys.readouterr().out
    again = json.loads((run / "result.json").read_text())
    assert (again["status"], again["value"]) == (result["status"], result["value"])
    assert copied.report()["comparisons"] == before
