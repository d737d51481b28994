"""The time left, by a clock that runs by hand: slow starts do not stretch it, and it comes out right."""

import json
from pathlib import Path

import pytest

from coregpt.lab.designs.design import Task
from coregpt.lab.execute import launcher as launching
from coregpt.lab.execute.children import Child
from coregpt.lab.execute.eta import Eta, Moving
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.execute.slots import Slot
from coregpt.lab.progress import Display
from coregpt.lab.records.claims import Claim
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import Lab
from tests.lab.execute.test_launcher import planned

START, SPEED = 30.0, 12.0
"""Seconds until the first worker trains, and steps per second from then on; a run has 120 steps."""


class ByHand(Executor):
    """Workers that never end by themselves; the first one takes long to start, as a pool does."""

    def __post_init__(self) -> None:
        self.pool, self.time, self.folders = None, 0.0, list[RunFolder]()

    def now(self) -> float:
        return self.time

    def begin(self, slot: Slot, folder: RunFolder, until: int | None, held: Claim) -> Child:
        self.time += 0.0 if self.folders else START
        self.folders.append(folder)
        return Living()

    def train(self, seconds: float) -> None:
        """Time passes, and every run that was begun gets on."""
        self.time += seconds
        for folder in self.folders:
            step = round(folder.newest().get("step", 0) + seconds * SPEED)
            with folder.metrics.open("a") as file:
                file.write(json.dumps({"step": step}) + "\n")


class Living:
    def poll(self) -> int | None:
        return None

    def signal(self, number: int) -> None:
        """Nothing listens."""

    def disown(self) -> None:
        """Nothing listens."""


def test_the_start_of_the_first_worker_is_no_part_of_the_time_left(executed: Lab, tmp_path: Path) -> None:
    machine = ByHand(Slot(()))
    launcher = Launcher(planned(executed), tmp_path, [Slot(())] * 2, Display(), machine=machine)
    launcher.fill_slots()
    machine.train(1.0)
    launcher.watch()
    assert launcher.remaining() == ""  # one look shows where a run is, not how fast it goes
    machine.train(1.0)
    launcher.watch()
    assert launcher.remaining() == ", 18 s left"  # two waves of 10 s, of which 2 s are over; not 16 waits for a start
    machine.train(4.0)
    launcher.watch()
    assert launcher.remaining() == ", 14 s left"


def test_what_follows_the_present_wave_is_part_of_the_time_left(
    executed: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A design looks at two runs before the others: `0 of 4 done` and the time left speak of the same runs."""
    monkeypatch.setattr(launching, "missing", lambda plan, store: [Task(run) for run in plan.runs[:2]])
    monkeypatch.setattr(launching, "everything", lambda plan, store: False)
    machine = ByHand(Slot(()))
    launcher = Launcher(planned(executed), tmp_path, [Slot(())] * 2, Display(), machine=machine)
    launcher.fill_slots()
    for _ in range(2):
        machine.train(1.0)
        launcher.watch()
    assert launcher.remaining() == ", 18 s left"


def test_ended_runs_tell_the_pace_of_those_that_wait() -> None:
    eta = Eta()
    assert eta.left(10, [], 2) is None
    eta.add(Moving(0, 5, 10))
    assert eta.left(10, [], 2) == 10
    assert eta.left(0, [], 0) is None


def test_it_is_never_less_than_the_slowest_run_needs() -> None:
    running = [Moving(left=8, moved=2, seconds=2), Moving(left=0, moved=2, seconds=2)]
    assert Eta().left(0, running, 2) == 8
    assert Eta().left(12, running, 2) == 10


@pytest.mark.parametrize("running", [[Moving(8, 0, 0)], [Moving(8, 1, 0.4)]])
def test_it_is_silent_until_something_was_measured(running: list[Moving]) -> None:
    assert Eta().left(5, running, 1) is None
