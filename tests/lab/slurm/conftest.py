"""One cluster for all tests that need one, programs that stand for Slurm's for those that do not, and a study."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coregpt.cli import main
from tests.lab.conftest import STUDY, Lab, write_study

SCRIPT = Path(__file__).parents[3] / ".ci" / "slurm"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`commands("squeue", "echo '1|RUNNING'")` puts a program of that name first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(name: str, body: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    for name in ("sbatch", "squeue", "scancel", "sacct"):
        write(name, "exit 1")
    return write


@pytest.fixture(scope="session")
def slurm_conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The configuration of a cluster of two nodes that lives as long as the tests."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([SCRIPT, "start", folder, str(os.getpid())], capture_output=True, text=True)
    if started.returncode:
        subprocess.run([SCRIPT, "stop", folder], check=True)
        pytest.skip(f"no Slurm here: {started.stdout.strip() or started.stderr.strip()}")
    yield str(folder / "slurm.conf")
    subprocess.run([SCRIPT, "stop", folder], check=True)


@pytest.fixture
def on_slurm(slurm_conf: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
    """Arguments that send a command to the cluster; what a test leaves in the queue is cancelled."""
    monkeypatch.setenv("SLURM_CONF", slurm_conf)
    yield ("--on", "slurm", "--poll", "0.3")
    subprocess.run(["scancel", f"--user={os.getuid()}"], check=True)


@pytest.fixture(scope="session")
def longer(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """A study of a few seconds a run, trained here in peace."""
    folder = tmp_path_factory.mktemp("longer")
    base = {**STUDY["base"], "tokens": 64 * 2000}
    done = Lab(folder, shards, write_study(folder / "longer.yaml", shards, base=base))
    assert main(done.command("--no-mlflow")) == 0
    return done
