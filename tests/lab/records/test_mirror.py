"""MLflow gets a copy of everything, once; when it cannot, nothing but a warning happens."""

import math
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from coregpt.cli import main
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.mirror import Conclusion, mirror
from coregpt.lab.records.store import RunFolder
from coregpt.lab.records.tracking import client as opened
from coregpt.lab.records.tracking import database_uri
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STEPS, Lab
from tests.lab.records import mirroring
from tests.warm import Program

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module", autouse=True)
def _mirrored(executed: Lab) -> None:
    """By the command, which finds all of its runs done."""
    assert main(executed.command()) == 0


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
    assert len(client.get_metric_history(child.info.run_id, "loss")) == STEPS
    assert [m.step for m in client.get_metric_history(child.info.run_id, "select_loss")] == [0, 24, 48, 72, 96, 120]
    rates = [(m.step, m.value) for m in client.get_metric_history(child.info.run_id, "lr")]
    assert (rates[0], rates[-1]) == ((0, 0.002), (STEPS, 0.002))
    kept = {file.path for file in client.list_artifacts(child.info.run_id)}
    assert kept == {"config.json", "env.json", "log.txt", "metrics.jsonl", "result.json"}
    assert {"report.html", "report.json"} <= {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_mirroring_again_adds_nothing(executed: Lab, made: Plan) -> None:
    before = contents(executed.runs)
    assert mirror(made, executed.runs, executed.reports / "tiny") is None
    assert contents(executed.runs) == before


def aggregates(store: Path, name: str = "tiny") -> dict[str, Any]:
    """The aggregate run of each arm."""
    client = mlflow.MlflowClient(database_uri(store))
    experiment = client.get_experiment_by_name(name).experiment_id
    runs = client.search_runs([experiment], "tags.`coregpt.aggregate` = 'mean over seeds'")
    assert len({run.data.tags["coregpt.arm"] for run in runs}) == len(runs)
    return {run.data.tags["coregpt.arm"]: run for run in runs}


def test_each_arm_has_its_mean_and_band_under_the_study(executed: Lab, made: Plan) -> None:
    client = mlflow.MlflowClient(database_uri(executed.runs))
    found = aggregates(executed.runs)
    assert found.keys() == {"gelu", "relu2"}
    for arm, run in found.items():
        parent = client.get_run(run.data.tags["mlflow.parentRunId"])
        assert parent.data.tags["coregpt.kind"] == "study"
        assert run.data.tags["coregpt.seeds"] == "0, 1"
        assert "coregpt.left_out" not in run.data.tags
        folders = [RunFolder(executed.runs / each.id) for each in made.runs if each.arm == arm]
        logged = {
            name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, f"select_loss_{name}")]
            for name in ("mean", "low95", "high95")
        }
        a, b = ([(row["step"], row["select_loss"]) for row in each.rows() if "select_loss" in row] for each in folders)
        assert [step for step, _ in logged["mean"]] == [step for step, _ in a] == [0, 24, 48, 72, 96, 120]
        half = [12.706204736432095 * abs(x - y) / 2 for (_, x), (_, y) in zip(a, b, strict=True)]  # t(0.975, 1)
        means = [(x + y) / 2 for (_, x), (_, y) in zip(a, b, strict=True)]
        assert [v for _, v in logged["mean"]] == pytest.approx(means)
        assert [v for _, v in logged["low95"]] == pytest.approx([m - h for m, h in zip(means, half, strict=True)])
        assert [v for _, v in logged["high95"]] == pytest.approx([m + h for m, h in zip(means, half, strict=True)])


@pytest.fixture
def without(executed: Lab, tmp_path: Path) -> Lab:
    """The executed runs without a database."""
    here = executed.with_runs_in(tmp_path)
    shutil.copytree(executed.runs, here.runs, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    (tmp_path / "pages").mkdir()
    return here


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has made and nobody has written to; making one takes it 1.5 s of a processor."""
    store = tmp_path_factory.mktemp("empty")
    assert opened(database_uri(store)).get_experiment_by_name("tiny") is None
    return store / "mlflow.db"


@pytest.fixture
def copied(without: Lab, empty: Path) -> Lab:
    """The executed runs with a database that knows none of them."""
    shutil.copy(empty, without.runs)
    return without


def test_an_aggregate_is_made_anew_when_another_seed_is_complete(copied: Lab, made: Plan) -> None:
    late = copied.runs / made.runs[0].id / "result.json"
    late.rename(late.with_suffix(".kept"))
    assert mirror(made, copied.runs, copied.folder / "pages") is None
    first = aggregates(copied.runs)
    assert first["gelu"].data.tags["coregpt.seeds"] == "1"
    assert first["gelu"].data.tags["coregpt.left_out"] == "seed 0: not complete"
    assert not {"select_loss_low95", "select_loss_high95"} & first["gelu"].data.metrics.keys()
    late.with_suffix(".kept").rename(late)
    assert mirror(made, copied.runs, copied.folder / "pages") is None
    second = aggregates(copied.runs)
    assert second["gelu"].data.tags["coregpt.seeds"] == "0, 1"
    assert second["relu2"].info.run_id == first["relu2"].info.run_id


def test_a_diverged_run_is_named_and_shortens_the_band(copied: Lab, made: Plan) -> None:
    folder = RunFolder(copied.runs / made.runs[0].id)
    kept = [row for row in folder.rows() if row["step"] <= 48]
    folder.write_rows([*kept, {"step": 72, "tokens": 64 * 72, "seconds": 1.0, "select_loss": float("nan")}])
    folder.write_result({**(folder.result() or {}), "status": "diverged", "value": None, "select": None})
    assert mirror(made, copied.runs, copied.folder / "pages") is None
    run = aggregates(copied.runs)["gelu"]
    assert run.data.tags["coregpt.diverged"] == "seed 0"
    client = mlflow.MlflowClient(database_uri(copied.runs))
    assert [m.step for m in client.get_metric_history(run.info.run_id, "select_loss_mean")] == [0, 24, 48]


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
        (OSError(28, "No space left on device"), "free some space and call again"),
        (sqlite3.OperationalError("table experiments already exists"), "left half made; delete it and call again"),
        (sqlite3.OperationalError("constraint failed\n[SQL: INSERT INTO runs VALUES (?)]"), "constraint failed"),
    ],
)
def test_what_keeps_a_database_from_being_written_is_said_with_a_remedy(
    executed: Lab, made: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, words: str
) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr("coregpt.lab.records.mirror.client", fail)
    warning = mirror(made, executed.runs, tmp_path)
    assert warning is not None
    assert words in warning
    assert "SQL" not in warning
    assert "INSERT" not in warning


def test_without_mlflow_everything_else_works(
    executed: Lab, made: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    warning = mirror(made, executed.runs, tmp_path)
    assert warning is not None
    assert "pip install mlflow" in warning


def started(study: Path, store: Path, pages: Path) -> "subprocess.Popen[str]":
    """Another program that mirrors: MLflow remembers in a process where the files of a run lie."""
    command = [sys.executable, "-m", mirroring.__name__, str(study), str(store), str(pages)]
    return Program(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def elsewhere(study: Path, store: Path, pages: Path) -> str:
    return started(study, store, pages).communicate()[0].strip()


def artifact_folders(store: Path) -> set[Path]:
    client = mlflow.MlflowClient(database_uri(store))
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    addresses = [experiment.artifact_location, *(run.info.artifact_uri for run in runs)]
    return {Path(url2pathname(urlparse(address).path)) for address in addresses}


def test_a_copied_store_keeps_its_files_to_itself(executed: Lab, made: Plan, tmp_path: Path) -> None:
    here = tmp_path / "a copy"
    shutil.copytree(executed.runs, here)
    before = {path: path.stat().st_mtime_ns for path in executed.runs.rglob("*") if path.is_file()}
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "later.txt").write_text("made after the copy")
    assert elsewhere(executed.study, here, pages) == "None"
    assert all(folder.is_relative_to(here) for folder in artifact_folders(here))
    assert len(list((here / "mlartifacts").rglob("later.txt"))) == 1
    client = mlflow.MlflowClient(database_uri(here))
    experiment = client.get_experiment_by_name("tiny").experiment_id
    child = next(run for run in client.search_runs([experiment]) if "coregpt.run" in run.data.tags)
    assert "result.json" in {file.path for file in client.list_artifacts(child.info.run_id)}
    assert {path: path.stat().st_mtime_ns for path in executed.runs.rglob("*") if path.is_file()} == before


def test_two_launchers_make_one_database(without: Lab, made: Plan) -> None:
    both = [started(without.study, without.runs, without.folder / "pages") for _ in range(2)]
    assert [each.communicate()[0].strip() for each in both] == ["None", "None"]
    client = mlflow.MlflowClient(database_uri(without.runs))
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert len(runs) == 1 + len(made.runs) + 2


def test_an_arm_may_have_any_name(copied: Lab, made: Plan) -> None:
    names = {"gelu": "don't", "relu2": 'say "so" `now`'}
    study = replace(made.study, arms=tuple(replace(arm, name=names[arm.name]) for arm in made.study.arms))
    odd = replace(made, study=study, runs=tuple(replace(run, arm=names[run.arm]) for run in made.runs))
    assert mirror(odd, copied.runs, copied.folder / "pages") is None
    before = contents(copied.runs)
    assert mirror(odd, copied.runs, copied.folder / "pages") is None
    assert contents(copied.runs) == before
    assert aggregates(copied.runs).keys() == set(names.values())


def test_a_deleted_experiment_is_told_with_the_command_that_restores_it(copied: Lab, made: Plan) -> None:
    assert mirror(made, copied.runs, copied.folder / "pages") is None
    client = mlflow.MlflowClient(database_uri(copied.runs))
    experiment = client.get_experiment_by_name("tiny").experiment_id
    client.delete_experiment(experiment)
    warning = mirror(made, copied.runs, copied.folder / "pages") or ""
    assert f"mlflow experiments restore --experiment-id {experiment}" in warning
    assert database_uri(copied.runs) in warning
    client.restore_experiment(experiment)
    assert mirror(made, copied.runs, copied.folder / "pages") is None


@pytest.mark.parametrize("name", ["ru?ns", "ru%20ns"])
def test_a_folder_that_no_address_holds_is_told_and_makes_no_file_elsewhere(
    made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    warning = mirror(made, Path(name), tmp_path) or ""
    assert f"cannot address the folder '{name}'" in warning
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not list(Path(name).iterdir())


def test_what_a_study_came_to_stands_at_its_parent(copied: Lab, made: Plan) -> None:
    pages = copied.folder / "pages"
    first = Conclusion({"gain/relu2": 0.02, "p adjusted/relu2": 0.03}, {"verdict/relu2": "better"}, "relu2 is better")
    assert mirror(made, copied.runs, pages, first) is None
    before = contents(copied.runs)
    assert mirror(made, copied.runs, pages, first) is None
    assert contents(copied.runs) == before
    later = Conclusion({"gain/relu2": 0.01}, {"verdict/relu2": "inconclusive"}, "not decided")
    assert mirror(made, copied.runs, pages, later) is None
    client = mlflow.MlflowClient(database_uri(copied.runs))
    experiment = client.get_experiment_by_name("tiny").experiment_id
    parent = next(run for run in client.search_runs([experiment]) if run.data.tags.get("coregpt.kind") == "study")
    assert parent.data.metrics["gain/relu2"] == 0.01
    assert math.isnan(parent.data.metrics["p adjusted/relu2"])
    assert parent.data.tags["verdict/relu2"] == "inconclusive"
    assert parent.data.tags["mlflow.note.content"] == "not decided"
