"""Forked workers behave as spawned ones do: separate, killable, and gone when their launcher is."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coregpt.lab.execute.children import Child, spawn
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.pool import CAN_FORK, Pool, serve, warming
from coregpt.lab.execute.slots import Slot
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.claims import claim
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import STEPS, Lab, write_study

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="workers are forked on Linux only")


@pytest.fixture(autouse=True)
def _real(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests leave out: a forking process that begins as a program of its own."""
    monkeypatch.setattr("coregpt.lab.execute.pool.subprocess", subprocess)


@pytest.fixture
def pool() -> Iterator[Pool]:
    opened = Pool(Slot(()))
    yield opened
    opened.close()


def folders(lab: Lab, here: Path, tokens: int = 64 * STEPS) -> list[RunFolder]:
    """Planned run folders of a study like the lab's, none of them executed."""
    base = {"model": {"vocab": 16, "dim": 8, "depth": 1, "heads": 2, "context": 16}, "batch_tokens": 64}
    base |= {"tokens": tokens, "eval_tokens": 256, "evals": 5, "device": "cpu", "precision": "fp32", "compile": False}
    here.mkdir(exist_ok=True)
    made = plan(outline(load(write_study(here / "study.yaml", lab.data, base=base))))
    found = []
    for run in made.runs:
        folder = RunFolder(here / "runs" / run.id)
        folder.create(run.record, run.plugin_files)
        found.append(folder)
    return found


def begin(pool: Pool, folder: RunFolder, slot: Slot | None = None) -> Child:
    held = claim(folder)
    assert held is not None
    child = pool.start(slot or Slot(()), folder.path, None, folder.log, held.descriptor)
    held.release()
    return child


def ended(child: Child, seconds: float = 60) -> int:
    deadline = time.monotonic() + seconds
    while (code := child.poll()) is None:
        assert time.monotonic() < deadline, "the worker did not end"
        time.sleep(0.02)
    return code


def training(folder: RunFolder) -> None:
    deadline = time.monotonic() + 60
    while folder.newest().get("step", 0) < 1:
        assert time.monotonic() < deadline, folder.log_tail()
        time.sleep(0.02)


def test_a_fork_gives_the_numbers_of_a_program_of_its_own(executed: Lab, tmp_path: Path, pool: Pool) -> None:
    forked, spawned = folders(executed, tmp_path)[0], folders(executed, tmp_path / "other")[0]
    child = begin(pool, forked)
    held = claim(spawned)
    assert held is not None
    other = spawn(Slot(()), spawned.path, None, spawned.log, held.descriptor)
    assert (ended(child), ended(other)) == (0, 0)
    assert (forked.result() or {})["value"] == (spawned.result() or {})["value"]
    assert forked.environment() == spawned.environment()


def test_the_claim_lives_as_long_as_the_fork(executed: Lab, tmp_path: Path, pool: Pool) -> None:
    folder = folders(executed, tmp_path, tokens=64 * 200_000)[0]
    child = begin(pool, folder)
    training(folder)
    assert claim(folder) is None
    child.signal(signal.SIGKILL)
    assert ended(child) == -signal.SIGKILL
    held = claim(folder)
    assert held is not None
    held.release()


def test_a_fork_survives_the_death_of_its_pool_and_the_pool_is_replaced(
    executed: Lab, tmp_path: Path, pool: Pool
) -> None:
    first, second = folders(executed, tmp_path, tokens=64 * 800)[:2]
    child = begin(pool, first)
    training(first)
    pool.process.kill()
    pool.process.wait()
    other = begin(pool, second)
    assert (ended(child), ended(other)) == (0, 0)
    assert first.result() is not None
    assert second.result() is not None


def test_a_fork_leaves_a_checkpoint_when_nobody_waits_for_it(executed: Lab, tmp_path: Path, pool: Pool) -> None:
    folder = folders(executed, tmp_path, tokens=64 * 200_000)[0]
    child = begin(pool, folder)
    training(folder)
    child.disown()
    assert ended(child) == 3
    assert folder.checkpoint.exists()


def test_a_pool_that_cannot_start_leaves_the_run_to_a_program(
    executed: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folders(executed, tmp_path)[0]
    broken = Pool(Slot(()))

    def fails(self: Pool) -> None:
        raise OSError("no pool today")

    monkeypatch.setattr(Pool, "open", fails)
    assert ended(begin(broken, folder)) == 0


@pytest.mark.parametrize("unread", [True, False], ids=["unread", "untold"])
def test_a_launcher_that_dies_while_it_is_told_something_ends_the_pool_quietly(unread: bool) -> None:
    """Then the socket says that the connection was reset or the pipe is broken, and not that it ended."""
    ours, theirs = socket.socketpair()
    if unread:
        theirs.send(b"news")
    else:  # a request whose answer nobody is left to hear
        request = {"arguments": ["/nowhere", "--launched"], "environment": {}}
        with open(os.devnull, "r+b") as null:
            socket.send_fds(ours, [json.dumps(request).encode()], [null.fileno()] * 3)
    ours.close()
    before = signal.getsignal(signal.SIGCHLD)
    try:
        serve(theirs)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, before)
        theirs.close()


def test_a_pool_that_nobody_used_is_ended_without_waiting_for_its_import() -> None:
    pool = Pool(Slot(()), program=("-c", "import time; time.sleep(600)"))
    pool.open()
    pool.close()
    assert pool.process.returncode == -signal.SIGKILL


def test_a_lent_pool_is_left_open_for_others_and_closed_by_its_lender() -> None:
    with warming(True) as pool:
        assert pool is not None
        Executor(Slot(()), pool=pool).close()
        assert pool.process.poll() is None
    assert not pool.alive
    assert pool.process.returncode is not None


def test_nothing_is_warmed_where_nothing_will_run() -> None:
    with warming(False) as pool:
        assert pool is None


def test_a_fork_that_cannot_have_its_log_leaves_nothing_open(pool: Pool, tmp_path: Path) -> None:
    pool.open()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        pool.fork(Slot(()), tmp_path, None, tmp_path / "nowhere" / "log.txt", 0)
    assert os.listdir("/proc/self/fd") == before
