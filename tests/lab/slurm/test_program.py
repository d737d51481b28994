"""A study of a program on the cluster: one job a run, on clones made by the node, to the report of one made here."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from coregpt.cli import main
from tests.lab.command.conftest import SAID, SCRIPT, commit, git
from tests.lab.command.test_running import alive

STUDY = {
    "question": "Does a higher rate help?",
    "base": {"command": SAID, "device": "cpu"},
    "arms": {"main": {}, "higher": {"command": {"set": {"lr": 2.0e-3}}}},
    "seeds": 5,
    "test": {"metric": "val_loss", "baseline": "main", "margin": 0.01},
}


@pytest.fixture
def nano(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COREGPT_CACHE", str(tmp_path / "cache"))
    repo = tmp_path / "nano"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=main")
    commit(repo, "First", train_py=SCRIPT)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return repo


def ablate(folder: Path, name: str) -> list[str]:
    places = ["--runs", str(folder / name / "runs"), "--reports", str(folder / name / "reports")]
    return ["ablate", str(folder / "study.yaml"), *places, "--no-mlflow"]


def report(folder: Path, name: str) -> dict[str, Any]:
    found = json.loads((folder / name / "reports/study/report.json").read_text())
    return {key: value for key, value in found.items() if key != "timing"}


def test_a_program_on_slurm_has_the_report_of_one_run_here(
    tmp_path: Path, nano: Path, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(ablate(tmp_path, "here")) == 0
    capsys.readouterr()
    assert main([*ablate(tmp_path, "there"), *on_slurm]) == 0
    said = capsys.readouterr().out
    assert "2 runs to train, 2 at a time on Slurm" in said, said
    assert report(tmp_path, "there") == report(tmp_path, "here")


def test_a_program_ends_with_its_job(tmp_path: Path, nano: Path, on_slurm: tuple[str, ...]) -> None:
    """Also one that has left the session of the worker that slurmd knows."""
    pids = tmp_path / "pids"
    slow = f"import os, time; open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(600)\n"
    commit(nano, "Slow", train_py=slow + SCRIPT)
    command = ["python", "-m", "coregpt.cli", *ablate(tmp_path, "there"), *on_slurm]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        until = time.monotonic() + 120
        while not (pids.exists() and pids.read_text().endswith("\n")) and time.monotonic() < until:
            time.sleep(0.1)
        begun = pids.read_text().split()
        process.kill()
    subprocess.run(["scancel", f"--user={os.getuid()}"], check=True)
    while any(map(alive, begun)) and time.monotonic() < until:
        time.sleep(0.1)
    assert begun
    assert not any(map(alive, begun))
