"""A worker that hangs and whose launcher has died holds its run until somebody ends it."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coregpt.lab.execute.orphans import Strangers, holding, orphaned
from coregpt.lab.records.claims import claim
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import Lab
from tests.lab.execute.test_launcher import launched as program
from tests.lab.execute.test_launcher import wait_for_training
from tests.lab.execute.test_trouble import launched, long, training

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only /proc says who holds a file")


def test_a_hung_worker_of_a_dead_launcher_is_ended_and_its_run_finished(executed: Lab, tmp_path: Path) -> None:
    made = long(executed, tmp_path, steps=600)
    here = Lab(tmp_path, executed.data, made.study.path)
    with program(here) as process:
        wait_for_training(here)
        hung = training(here.runs)
        for pid in hung:
            os.kill(pid, signal.SIGSTOP)
        process.kill()
    rescue = threading.Timer(60, lambda: [os.kill(pid, signal.SIGKILL) for pid in hung & training(here.runs)])
    rescue.start()
    tally, told, _ = launched(made, here.runs, hang_seconds=4.0)
    assert rescue.is_alive(), "the launcher waited for it"
    rescue.cancel()
    assert not tally.failed
    assert "its launcher is gone and it wrote nothing for 4 s, so it was ended" in told
    assert all(RunFolder(here.runs / run.id).result() for run in made.runs)


def held_by(folder: RunFolder, launcher: str) -> "subprocess.Popen[bytes]":
    """A process that has the claim on a run and says nothing; `launcher` is who claimed it."""
    held = claim(folder)
    assert held is not None
    (folder.path / "claim").write_text(launcher)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(held.descriptor,))
    held.release()
    return process


@pytest.mark.parametrize(
    "launcher",
    [f"process {os.getpid()} on {platform.node()}", "process 999999999 on another-machine", "", "process of nobody"],
    ids=["alive", "elsewhere", "unsaid", "unreadable"],
)
def test_nothing_else_is_ended(tmp_path: Path, launcher: str) -> None:
    folder = RunFolder(tmp_path)
    with held_by(folder, launcher) as process:
        assert holding(folder) == {process.pid}
        watch = Strangers(hang_seconds=2.0)
        assert not any(watch.ended(folder, now) for now in (0.0, 1.0, 3.0, 9.0))
        assert process.poll() is None
        process.kill()


def test_a_launcher_that_nobody_collects_is_dead_all_the_same(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert zombie.stdout is not None
    zombie.stdout.read()  # it has ended, or will in a moment, and is not waited for
    (folder.path / "claim").write_text(f"process {zombie.pid} on {platform.node()}")
    deadline = time.monotonic() + 10
    while not orphaned(folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert orphaned(folder)
    assert zombie.wait(10) == 0


def test_only_silence_is_taken_for_hanging(tmp_path: Path) -> None:
    folder, gone = RunFolder(tmp_path), f"process 999999999 on {platform.node()}"
    with held_by(folder, gone) as process:
        watch = Strangers(hang_seconds=2.0)
        for now in (0.0, 1.5, 3.0, 4.5):
            folder.write_rows([{"step": now, "loss": 1.0}, *folder.rows()])
            assert not watch.ended(folder, now)
        assert not watch.ended(folder, 6.0)
        assert process.poll() is None
        assert watch.ended(folder, 7.0)
        assert process.wait(10) == -signal.SIGKILL
