"""Run folders: complete or absent, torn lines ignored."""

import json
import os
from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError, RunError
from coregpt.lab.atomic import read_json, writable_folder, write_json, write_text
from coregpt.lab.records.store import MetricsLog, RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "abc")
    made.create({"id": "abc"}, {})
    return made


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def fail(*_: object) -> None:
        raise OSError(28, "disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunError, match=r"x\.json cannot be written \(disk full\)"):
        write_text(path, "half")
    assert read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(RunError, match=r"x\.json cannot be read"):
        read_json(tmp_path / "x.json")
    assert read_json(tmp_path / "none.json") is None


def test_an_unwritable_folder_is_told_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write in the folder"):
        writable_folder(tmp_path / "file" / "runs")
    assert writable_folder(tmp_path / "new" / "runs").is_dir()


def test_creating_a_folder_twice_keeps_what_is_there(folder: RunFolder) -> None:
    folder.create({"id": "other"}, {})
    assert folder.config() == {"id": "abc"}


def test_a_folder_without_config_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder(tmp_path).config()


def test_rows_come_back_and_a_torn_last_line_is_ignored(folder: RunFolder) -> None:
    log = MetricsLog(folder)
    log.record({"step": 1, "loss": 2.5})
    log.record({"step": 2, "loss": float("nan")})
    log.close()
    with log.path.open("a") as file:
        file.write('{"step": 3, "lo')
    rows = folder.rows()
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[1]["loss"] != rows[1]["loss"]
    again = MetricsLog(folder)
    again.record({"step": 3, "loss": 1.0})
    again.close()
    assert [json.loads(line)["step"] for line in again.path.read_text().splitlines()] == [1, 2, 3]


def test_rewind_forgets_what_a_resumed_run_repeats(folder: RunFolder) -> None:
    log = MetricsLog(folder)
    for step in range(5):
        log.record({"step": step, "loss": 1.0})
    log.rewind(2)
    log.record({"step": 3, "loss": 0.5})
    log.close()
    assert [(row["step"], row["loss"]) for row in folder.rows()] == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.5)]
    log = MetricsLog(folder)
    log.rewind(-1)
    log.close()
    assert folder.rows() == []


def test_the_newest_row_is_read_without_reading_all(folder: RunFolder) -> None:
    log = MetricsLog(folder)
    for step in range(500):
        log.record({"step": step, "loss": 1.0 / (step + 1)})
    assert folder.newest() == {"step": 499, "loss": 1.0 / 500}
    log.close()


def test_a_result_ends_a_run(folder: RunFolder) -> None:
    folder.write_error("it failed", "")
    folder.checkpoint.write_text("state")
    assert folder.result() is None
    folder.write_result({"status": "finished"})
    assert folder.result() == {"status": "finished"}
    assert folder.error() is None
    assert not folder.checkpoint.exists()
