"""What follows a study's runs, in the order in which it is told."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli.studies import conclude as module
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from tests.lab.conftest import Lab


def test_nobody_waits_for_mlflow_without_a_word(
    executed: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def mirror(*given: Any) -> None:
        said.append(capsys.readouterr().out)

    monkeypatch.setattr(module, "mirror", mirror)
    shutil.copytree(executed.runs, tmp_path / "runs")
    here = executed.with_runs_in(tmp_path)
    (tmp_path / "report").mkdir()
    made = plan(outline(load(here.study)))
    module.conclude(made, here.runs, tmp_path / "report", "", None, mlflow=True)
    assert "now its curves are copied to MLflow" in said[0]
    assert capsys.readouterr().out.startswith("MLflow:  mlflow ui")
