"""Scripts for sbatch: what is in them, and what becomes of the runs in them on a real cluster."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from tests.lab.conftest import Lab
from tests.lab.slurm.cluster import emitted, events, queue, wait_for
from tests.lab.test_launch import planned, untimed


def test_the_script_asks_for_what_the_options_say_and_bash_reads_it(lab: Callable[..., Lab]) -> None:
    here = lab()
    text = emitted(here, "--partition", "gpu", "--time", "90", "--max-jobs", "2", "--sbatch", "mem=2G")
    asked = dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in text.splitlines() if "#SBATCH" in line)
    assert asked == {
        "requeue": "",
        "job-name": "coregpt-tiny",
        "array": "0-3%2",
        "output": f"{here.runs}/slurm/%A_%a.log",
        "open-mode": "append",
        "signal": "B:USR2@90",
        "nodes": "1",
        "ntasks-per-node": "1",
        "cpus-per-task": "1",
        "time": "90",
        "partition": "gpu",
        "mem": "2G",
    }
    for run in planned(here).runs:
        assert text.count(f"    {here.runs / run.id}\n") == 1
    subprocess.run(["bash", "-n", str(here.folder / "jobs.sh")], check=True)


def test_a_path_that_the_script_would_take_apart_is_refused_before_anything_is_entered(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab().with_runs_in(lab().folder / "two words")
    assert main(["plan", str(here.study), "--runs", str(here.runs), "--emit", "sbatch"]) == 2
    assert "a script cannot use a path with spaces" in capsys.readouterr().err
    assert not here.runs.exists()
