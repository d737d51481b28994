"""An attack from end to end: a new study on just the seeds with which the known baseline was unlucky."""

import json
import shutil
from pathlib import Path

import pytest

from coregpt.cli import main
from tests.lab.conftest import Lab, write_study


def test_a_study_on_the_unlucky_seeds_of_a_known_baseline_is_exploratory(
    executed: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(executed.folder, tmp_path / "here")
    here = tmp_path / "here"
    runs = [run for run in executed.report()["runs"] if run["arm"] == "gelu"]
    unlucky = max(runs, key=lambda run: run["value"])["seed"]
    arms = {"gelu": {}, "faster": {"optim": {"lr": 0.004}}}
    study = write_study(here / "again.yaml", executed.data, arms=arms, seeds=[unlucky, 7])
    where = ["--runs", str(here / "runs"), "--reports", str(here / "reports"), "--no-mlflow"]
    assert main(["ablate", str(study), *where]) == 0
    report = json.loads((here / "reports/again/report.json").read_text())
    why = f"1 seed ({unlucky}) listed by hand when the baseline's results with them were known, and 1 other, "
    assert report["study"]["exploratory"].startswith(why)
    assert report["headline"].startswith("Exploratory: ")
    notes = "\n".join(report["notes"])
    assert f"Its seeds were listed by hand ({unlucky} and 7)" in notes
    assert "Other studies on this baseline and metric: tiny (pilot): relu2 pilot." in notes
    verdict = json.loads((here / "reports/again/verdict.json").read_text())
    assert (verdict["exploratory"], verdict["verdict"]) == (True, None)
    assert "Exploratory" in capsys.readouterr().out
