"""What tests on a cluster ask of it and of the runs they sent there."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from coregpt.cli import main
from coregpt.lab.atomic import read_json
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import Row, RunFolder
from coregpt.lab.slurm.job_states import parse_states
from tests.lab.conftest import Lab
from tests.lab.execute.test_launcher import planned
from tests.warm import Program

MINUTE = 60.0
CHECKPOINT_SECONDS = 10.0
"""From the request to stop to a checkpoint on disk."""


def said(*command: str) -> str:
    """What a command of Slurm prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def queue() -> dict[str, str]:
    """State by job id."""
    return parse_states(said("squeue", "--array", "--states=all", "--noheader", "--format=%i|%T"))


@contextlib.contextmanager
def drained() -> Iterator[None]:
    """No node takes jobs meanwhile."""
    said("scontrol", "update", "nodename=node1,node2", "state=drain", "reason=test")
    try:
        yield
    finally:
        said("scontrol", "update", "nodename=node1,node2", "state=resume")


def jobs_of(lab: Lab) -> dict[str, str]:
    """Job by run id."""
    found = {path.parent.name: read_json(path) for path in lab.runs.glob("*/slurm.json")}
    return {run: (record or {})["job"] for run, record in found.items()}


def without_two(lab: Lab, folder: Path) -> Lab:
    """A copy of an executed study that lacks two of its runs, so that a test trains no more than it needs."""
    shutil.copytree(lab.runs, folder / "runs")
    for run in planned(lab).runs[1:3]:
        shutil.rmtree(folder / "runs" / run.id)
    return lab.with_runs_in(folder)


def sent(lab: Lab, on_slurm: tuple[str, ...]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "coregpt.cli", *lab.command(*on_slurm)]
    return Program(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def events(lab: Lab) -> Counter[str]:
    """All but the places in chains, which every study takes that may call an arm better."""
    return Counter(entry.event for entry in Ledger.of(lab.runs).read() if entry.event != "chained")


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


def stop_each(lab: Lab, ways: Mapping[str, Callable[[], None]]) -> dict[str, list[Row]]:
    """Stop these runs one after the other, each in its way when it trains; their metrics when checkpoints were there.

    In this order: a way that hits all jobs comes last, since a job that waits cannot be requeued.
    """
    stopped: dict[str, float] = {}
    found: dict[str, list[Row]] = {}
    deadline = time.monotonic() + 2 * MINUTE
    while len(found) < len(ways):
        assert time.monotonic() < deadline, (stopped, queue())
        for run, way in ways.items():
            if run not in stopped:
                if training(lab, run):
                    stopped[run] = time.time()
                    way()
                break
            folder = RunFolder(lab.runs / run)
            if run not in found and folder.checkpoint.exists():
                assert folder.checkpoint.stat().st_mtime - stopped[run] < CHECKPOINT_SECONDS
                found[run] = folder.rows()
        time.sleep(0.02)
    return found


def assert_gone_on(lab: Lab, found: Mapping[str, list[Row]]) -> None:
    """A run that began anew would have other times in its first rows."""
    for run, rows in found.items():
        now = RunFolder(lab.runs / run).rows()
        assert 0 < len(rows) < len(now)
        assert now[: len(rows)] == rows
