"""What tests on a cluster ask of it and of the runs they sent there."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

from coregpt.cli import main
from coregpt.lab.atomic import read_json
from coregpt.lab.ledger import Ledger
from coregpt.lab.squeue import parse_states
from coregpt.lab.store import RunFolder
from tests.lab.conftest import Lab

MINUTE = 60.0


def said(*command: str) -> str:
    """What a command of Slurm prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def queue() -> dict[str, str]:
    """State by job id."""
    return parse_states(said("squeue", "--array", "--states=all", "--noheader", "--format=%i|%T"))


def jobs_of(lab: Lab) -> dict[str, str]:
    """Job by run id."""
    found = {path.parent.name: read_json(path) for path in lab.runs.glob("*/slurm.json")}
    return {run: (record or {})["job"] for run, record in found.items()}


def sent(lab: Lab, on_slurm: tuple[str, ...]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "coregpt.cli", *lab.command(*on_slurm)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def events(lab: Lab) -> Counter[str]:
    return Counter(entry.event for entry in Ledger.of(lab.runs).read())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 2 * MINUTE
    while not condition():
        assert time.monotonic() < deadline, queue()
        time.sleep(0.05)


def training(lab: Lab, run: str) -> bool:
    """Whether a run has taken a step and is not at its end."""
    folder = RunFolder(lab.runs / run)
    return folder.newest().get("step", 0) > 0 and folder.result() is None


def emitted(lab: Lab, *extra: str) -> str:
    """The script that the plan command writes."""
    out = lab.folder / "jobs.sh"
    command = ["plan", str(lab.study), "--runs", str(lab.runs), "--emit", "sbatch", "--out", str(out), *extra]
    assert main(command) == 0
    return out.read_text()
