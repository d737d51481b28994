"""MLflow gets a copy of everything, once; when it cannot, nothing but a warning happens."""

import sqlite3
import sys
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.config import load
from coregpt.lab.mirror import database_uri, mirror
from coregpt.lab.study import Plan, outline, plan
from tests.lab.conftest import Lab

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def made(executed: Lab) -> Plan:
    return plan(outline(load(executed.study)))


def contents(store: Path) -> dict[str, int]:
    """Rows of every table that holds results."""
    with sqlite3.connect(store / "mlflow.db") as database:
        tables = ("experiments", "runs", "metrics", "params", "tags")
        return {table: database.execute(f"select count(*) from {table}").fetchone()[0] for table in tables}


def test_every_curve_parameter_and_page_is_copied(executed: Lab, made: Plan) -> None:
    client = mlflow.MlflowClient(database_uri(executed.runs))
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    parent = next(run for run in runs if run.data.tags.get("coregpt.kind") == "study")
    children = {run.data.tags["coregpt.run"]: run for run in runs if "coregpt.run" in run.data.tags}
    assert children.keys() == {run.id for run in made.runs}
    first = made.runs[0]
    child = children[first.id]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (child.data.tags["coregpt.arm"], child.data.tags["coregpt.seed"]) == ("gelu", "0")
    assert child.data.params["optim.lr"] == "0.002"
    assert len(client.get_metric_history(child.info.run_id, "loss")) == 250
    assert [m.step for m in client.get_metric_history(child.info.run_id, "val_loss")] == [0, 50, 100, 150, 200, 250]
    assert {"report.html", "report.json"} <= {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_mirroring_again_adds_nothing(executed: Lab, made: Plan) -> None:
    before = contents(executed.runs)
    assert mirror(made, executed.runs, executed.reports / "tiny") is None
    assert contents(executed.runs) == before


@pytest.fixture
def other_version(executed: Lab, tmp_path: Path) -> Lab:
    """The same runs with a database that another MLflow version seems to have made."""
    here = Lab(tmp_path, executed.data, executed.study)
    here.runs.mkdir()
    (here.runs / "mlflow.db").write_bytes((executed.runs / "mlflow.db").read_bytes())
    with sqlite3.connect(here.runs / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    return here


def test_a_database_of_another_version_costs_one_line(other_version: Lab, made: Plan) -> None:
    warning = mirror(made, other_version.runs, other_version.folder)
    assert warning is not None
    assert "\n" not in warning
    assert "mlflow db upgrade sqlite:///" in warning


def test_a_damaged_database_costs_one_line_and_no_exit_code(
    executed: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    database = executed.runs / "mlflow.db"
    good = database.read_bytes()
    try:
        database.write_bytes(b"this is no database" * 100)
        assert main(executed.command()) == 0
    finally:
        database.write_bytes(good)
    captured = capsys.readouterr()
    assert captured.out.count("not mirrored to MLflow: the file is damaged; delete it") == 1
    assert "Traceback" not in captured.out + captured.err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (sqlite3.OperationalError("database or disk is full"), "free some space and call again"),
        (sqlite3.OperationalError("unable to open database file"), "check the file and its permissions"),
    ],
)
def test_what_keeps_a_database_from_being_written_is_said_with_a_remedy(
    executed: Lab, made: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, words: str
) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr("coregpt.lab.mirror._client", fail)
    warning = mirror(made, executed.runs, tmp_path)
    assert warning is not None
    assert words in warning


def test_without_mlflow_everything_else_works(
    executed: Lab, made: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    warning = mirror(made, executed.runs, tmp_path)
    assert warning is not None
    assert "pip install mlflow" in warning
