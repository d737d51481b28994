"""What the launcher makes of what Slurm says of its jobs; the commands of Slurm are scripts."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coregpt.lab.execute.children import Child
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.jobs import Policy
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.execute.slots import Slot
from coregpt.lab.progress import Display
from coregpt.lab.records.claims import Claim, claim
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.cluster import SETTLE, SlurmChild, SlurmOptions, cluster
from coregpt.lab.slurm.job_states import GONE, Queue, parse_states
from coregpt.lab.slurm.remote import Execute
from tests.lab.conftest import Lab
from tests.lab.execute.test_launcher import planned


def test_states_are_read_from_squeue_and_from_sacct() -> None:
    # Printed by Slurm 22.05: squeue --array --format=%i|%T, then sacct --parsable2 of a cancelled job.
    assert parse_states("1|COMPLETED\n2_0|RUNNING\n2_1|PENDING\n") == {
        "1": "COMPLETED",
        "2_0": "RUNNING",
        "2_1": "PENDING",
    }
    assert parse_states("7_1|CANCELLED by 1000\n") == {"7_1": "CANCELLED"}
    assert parse_states("") == {}


def test_a_job_is_gone_only_once_slurm_has_answered_without_it(commands: Callable[[str, str], None]) -> None:
    queue = Queue(0.0)
    assert queue.state("5", queue.looks) == "PENDING"  # squeue fails: nothing is known
    commands("squeue", "echo '5|RUNNING'")
    assert queue.state("5", 0) == "RUNNING"
    commands("squeue", "exit 1")
    assert queue.state("5", 0) == "RUNNING"
    commands("squeue", "echo '6|RUNNING'")
    assert queue.state("5", 0) == GONE
    assert queue.last_state("5") == GONE
    commands("sacct", "echo '5|TIMEOUT'")
    assert queue.last_state("5") == "TIMEOUT"


@pytest.fixture
def child(lab: Callable[..., Lab], tmp_path: Path, commands: Callable[[str, str], None]) -> SlurmChild:
    """A job 5 of a run that has a folder and nothing in it."""
    made = planned(lab())
    folder = RunFolder(tmp_path / "runs" / made.runs[0].id)
    folder.create(made.runs[0].record, {})
    _, machine = cluster(SlurmOptions(poll_seconds=0.01), tmp_path / "runs", "cpu", 1, 1)
    machine.queue.refresh_seconds = 0.0
    return SlurmChild(machine, folder, None, job="5")


def looked(child: SlurmChild, times: int = SETTLE + 1) -> int | None:
    return [child.poll() for _ in range(times)][-1]


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "NODE_FAIL", "CANCELLED", "OUT_OF_MEMORY", "COMPLETED"])
def test_a_job_that_ended_without_a_result_is_told_by_state_and_log(
    child: SlurmChild, commands: Callable[[str, str], None], state: str
) -> None:
    commands("squeue", f"echo '5|{state}'")
    child.machine.logs.mkdir()
    (child.machine.logs / "5_0_log.out").write_text("starting\nthe node caught fire\n")
    assert child.poll() is None, "what it wrote may not be visible yet"
    code = looked(child)
    assert code == -signal.SIGKILL, "the launcher tries again what was ended from outside"
    told = child.machine.meaning(child, -signal.SIGKILL)
    assert told.startswith(f"job 5 is {state}: the node caught fire (")


def test_files_say_how_a_run_ended_and_a_claim_that_it_has_not(
    child: SlurmChild, commands: Callable[[str, str], None]
) -> None:
    commands("squeue", "echo '5|COMPLETED'")
    held = claim(child.folder)
    assert held is not None
    assert looked(child) is None
    held.release()
    assert looked(child) == -signal.SIGKILL
    child.folder.write_error("sprung", "")
    assert looked(child) == 1
    child.folder.write_result({"status": "finished", "value": 1.0, "select": 1.0})
    assert looked(child) == 0


def test_a_requeued_job_is_alive_again(child: SlurmChild, commands: Callable[[str, str], None]) -> None:
    for state in ("RUNNING", "NODE_FAIL", "PENDING", "RUNNING"):
        commands("squeue", f"echo '5|{state}'")
        assert child.poll() is None
    assert child.end == ""


def test_a_run_that_does_not_move_is_not_requeued_for_ever(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = planned(lab())
    folder = RunFolder(tmp_path / made.runs[0].id)
    folder.create(made.runs[0].record, {})
    first = Execute(folder.path)
    second = first.checkpoint().function
    third = second.checkpoint().function
    assert third.checkpoint() is None
    folder.write_rows([{"step": 3, "loss": 2.0}])
    moved = third.checkpoint().function
    assert (moved.step, moved.idle) == (3, 0)


@dataclass
class Patient:
    """A child that ends with the run of another folder, and takes note of signals."""

    folder: RunFolder
    source: RunFolder
    ready: float
    signals: list[int] = field(default_factory=list)

    def poll(self) -> int | None:
        if time.monotonic() < self.ready:
            return None
        for name in ("metrics.jsonl", "env.json", "result.json"):
            (self.folder.path / name).write_bytes((self.source.path / name).read_bytes())
        return 0

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def disown(self) -> None:
        """Nothing to close."""


def test_a_run_in_the_queue_is_not_taken_to_be_stuck(executed: Lab, tmp_path: Path) -> None:
    children = []

    class Busy(Executor):
        def begin(self, slot: Slot, folder: RunFolder, until: int | None, held: Claim) -> Child:
            source = RunFolder(executed.runs / folder.id)
            children.append(Patient(folder, source, time.monotonic() + 0.5))
            return children[-1]

        def queued(self, child: Child) -> bool:
            return True

    policy = Policy(hang_seconds=0.1, watch_seconds=0.05)
    tally = Launcher(planned(executed), tmp_path, [Slot(())] * 4, Display(), policy, Busy(Slot(()))).execute()
    assert len(tally.trained) == 4
    assert [each.signals for each in children] == [[]] * 4
