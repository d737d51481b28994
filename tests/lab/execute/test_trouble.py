"""How the launcher meets runs that are killed, stuck, out of memory, or wrong."""

import io
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coregpt.lab.execute.jobs import Policy
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.execute.slots import Slot
from coregpt.lab.execute.tally import Tally
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.progress import Display
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.execute.test_worker import BROKEN

HUNGRY = '''"""Has room for four sequences at a time.

Source: none.
"""

import torch
from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class Hungry(nn.Module):
    inputs = 1

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, hidden: Tensor) -> Tensor:
        if self.training and hidden.device.type == "cpu" and hidden.shape[0] > 4:
            raise torch.OutOfMemoryError("too much")
        return hidden.relu()


class HungryPlugin(Plugin):
    @hookimpl
    def make_activation(self, at: Site, width: int) -> nn.Module:
        return Hungry(width)
'''


def launched(made: Plan, store: Path, slots: int = 2, **policy: Any) -> tuple[Tally, str, Launcher]:
    stream = io.StringIO()
    launcher = Launcher(made, store, [Slot(())] * slots, Display(stream), Policy(**policy))
    return launcher.execute(), stream.getvalue(), launcher


def long(executed: Lab, here: Path, steps: int = 1000) -> Plan:
    base = {**STUDY["base"], "tokens": 64 * steps}
    return plan(outline(load(write_study(here / "long.yaml", executed.data, base=base))))


def part(made: Plan, runs: int) -> Plan:
    """The first runs only: what ends one run from outside is no matter of the others."""
    return replace(made, runs=made.runs[:runs])


def strike(store: Path, number: int, times: int) -> threading.Thread:
    """Signal whatever process trains, `times` times, each time at another process."""

    def work() -> None:
        struck: set[int] = set()
        deadline = time.monotonic() + 60
        while len(struck) < times and time.monotonic() < deadline:
            for pid in training(store) - struck:
                os.kill(pid, number)
                struck.add(pid)
                break
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def training(store: Path) -> set[int]:
    """Processes that hold the metrics of an unfinished run open."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.startswith(str(store)) and target.endswith("metrics.jsonl"):
            found.add(int(path.parts[2]))
    return found


def events(store: Path) -> list[str]:
    return [entry.event for entry in Ledger.of(store).read()]


def test_a_killed_worker_is_started_again(executed: Lab, tmp_path: Path) -> None:
    made = part(long(executed, tmp_path), 2)
    striking = strike(tmp_path / "runs", signal.SIGKILL, times=2)
    tally, told, _ = launched(made, tmp_path / "runs")
    striking.join()
    assert not tally.failed
    assert sorted(tally.trained) == sorted(run.id for run in made.runs)
    assert told.count("ended by SIGKILL (out of memory?); retry 1 of 2") == 2
    assert events(tmp_path / "runs").count("started") == len(made.runs) + 2
    assert events(tmp_path / "runs").count("failed") == 2


def test_a_worker_killed_after_its_pool_is_started_again(executed: Lab, tmp_path: Path) -> None:
    """Nobody is left who could say how it ended; a run that says nothing itself was ended from outside."""
    made, store = part(long(executed, tmp_path), 1), tmp_path / "runs"

    def work() -> None:
        deadline = time.monotonic() + 60
        while not training(store) and time.monotonic() < deadline:
            time.sleep(0.05)
        (pid,) = training(store)
        os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    tally, told, _ = launched(made, store, slots=1)
    thread.join()
    assert tally.trained == [made.runs[0].id]
    assert "the process ended, and so did the one that could say how; retry 1 of 2" in told


def test_retries_are_bounded(executed: Lab, tmp_path: Path) -> None:
    made = part(long(executed, tmp_path, steps=200_000), 1)
    striking = strike(tmp_path / "runs", signal.SIGKILL, times=3)
    tally, told, _ = launched(made, tmp_path / "runs", slots=1)
    striking.join()
    assert list(tally.failed) == [made.runs[0].id]
    assert "retry 2 of 2" in told
    assert "FAILED" in told


def test_a_stuck_run_is_killed_and_started_again(executed: Lab, tmp_path: Path) -> None:
    made = part(long(executed, tmp_path), 2)
    striking = strike(tmp_path / "runs", signal.SIGSTOP, times=1)
    tally, told, _ = launched(made, tmp_path / "runs", hang_seconds=3.0)
    striking.join()
    assert not tally.failed
    assert "it wrote nothing for 3 s and was killed; retry 1 of 2" in told
    assert len(tally.trained) == len(made.runs)


def test_fail_fast_stops_the_others_with_their_checkpoints(executed: Lab, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    arms = {"gelu": {}, "broken": {"plugins": {"broken": {}}}}
    base = {**STUDY["base"], "tokens": 64 * 200_000}
    study = write_study(tmp_path / "f.yaml", executed.data, arms=arms, plugin_files=["broken.py"], base=base)
    tally, told, launcher = launched(plan(outline(load(study))), tmp_path / "runs", fail_fast=True)
    assert len(tally.failed) == 1
    assert not tally.interrupted
    assert "FAILED broken" in told
    assert not launcher.jobs
    assert launcher.queue


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_out_of_memory_starts_over_with_smaller_passes_of_the_same_batch(
    executed: Lab, tmp_path: Path, ranks: int, lab: Callable[..., Lab]
) -> None:
    (tmp_path / "hungry.py").write_text(HUNGRY)
    arms = {"gelu": {}, "hungry": {"plugins": {"hungry": {}}}}
    base = {**STUDY["base"], "batch_tokens": 256, "tokens": 256 * 20}
    study = write_study(tmp_path / "h.yaml", executed.data, arms=arms, plugin_files=["hungry.py"], base=base)
    made = plan(outline(load(study)))
    launcher = Launcher(made, tmp_path / "runs", [Slot((), ranks)] * 2, Display(io.StringIO()))
    tally = launcher.execute()
    assert not tally.failed
    hungry = [run for run in made.runs if run.arm == "hungry"]
    for run in hungry:
        folder = RunFolder(tmp_path / "runs" / run.id)
        assert folder.micro_rows() == 4
        assert folder.environment()["rows per pass"] == "4"
    given = write_study(
        tmp_path / "g.yaml", executed.data, arms=arms, plugin_files=["hungry.py"], base={**base, "micro_rows": 4}
    )
    asked = plan(outline(load(given)))
    Launcher(asked, tmp_path / "asked", [Slot((), ranks)] * 2, Display(io.StringIO())).execute()
    values = {
        (run.arm, run.seed): (RunFolder(tmp_path / "asked" / run.id).result() or {})["value"] for run in asked.runs
    }
    for run in hungry:
        assert (RunFolder(tmp_path / "runs" / run.id).result() or {})["value"] == values[run.arm, run.seed]


def test_a_run_that_another_launcher_has_given_up_comes_before_what_waits(executed: Lab, tmp_path: Path) -> None:
    made = plan(outline(load(executed.study)))
    launcher = Launcher(made, tmp_path, [Slot(())] * 2, Display(io.StringIO()))
    given_up = launcher.queue.tasks.pop()
    RunFolder(tmp_path / given_up.run.id).create(given_up.run.record, given_up.run.plugin_files)
    launcher.elsewhere.append(given_up)
    launcher.look_elsewhere()
    assert launcher.elsewhere == []
    assert launcher.queue.tasks[0] == given_up
    launcher.machine.close()


STEP_THREE = '''"""Fails in its third step.

Source: none.
"""

from torch import Tensor, nn

from coregpt.api import Plugin, Site, hookimpl


class Third(nn.Module):
    inputs = 1

    def __init__(self, width: int):
        super().__init__()
        self.width, self.passes = width, 0

    def forward(self, hidden: Tensor) -> Tensor:
        if self.training and hidden.device.type == "cpu":
            self.passes += 1
            if self.passes == 3:
                raise ValueError("three is too many")
        return hidden.relu()


class ThirdPlugin(Plugin):
    @hookimpl
    def make_activation(self, at: Site, width: int) -> nn.Module:
        return Third(width)
'''


def started(store: Path) -> list[tuple[str, int]]:
    return [(entry["arm"], entry["seed"]) for entry in Ledger.of(store).read() if entry.event == "started"]


def test_two_runs_of_an_arm_that_fail_alike_stop_the_study(executed: Lab, tmp_path: Path) -> None:
    (tmp_path / "third.py").write_text(STEP_THREE)
    arms = {"gelu": {}, "bad": {"plugins": {"third": {}}}}
    study = write_study(tmp_path / "s.yaml", executed.data, arms=arms, plugin_files=["third.py"], seeds=5)
    tally, told, _ = launched(plan(outline(load(study))), tmp_path / "runs", slots=1)
    tried = started(tmp_path / "runs")
    assert [arm for arm, _ in tried].count("bad") == 2
    assert len(tried) == len(set(tried)) < 6, "none of them is tried twice"
    assert "ValueError: three is too many" in tally.hopeless
    assert "third.py" in tally.hopeless
    assert len(tally.failed) == 2
    assert not tally.interrupted
    assert told.count("the study stops here: every further run of 'bad' would fail like this") == 1


def vanish(data: Path) -> None:
    shutil.rmtree(data)


def change(data: Path) -> None:
    raw = bytearray((data / "train.bin").read_bytes())
    raw[-2:] = bytes([(raw[-2] + 1) % 16, 0])
    (data / "train.bin").write_bytes(raw)


@pytest.mark.parametrize(
    ("happens", "words"), [(vanish, "no data source or folder"), (change, "was planned with other sources or data")]
)
def test_data_that_no_run_can_have_stop_the_study_at_the_first(
    executed: Lab, tmp_path: Path, happens: Callable[[Path], None], words: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(executed.data, data)
    made = plan(outline(load(write_study(tmp_path / "s.yaml", data, seeds=5))))
    happens(data)
    tally, told, _ = launched(made, tmp_path / "runs", slots=1)
    assert len(started(tmp_path / "runs")) == 1
    assert words in tally.hopeless
    assert "the study stops here" in told
    again, _, _ = launched(made, tmp_path / "runs", slots=1)
    assert (len(started(tmp_path / "runs")), words in again.hopeless) == (2, True), "mended or not, one run tells"
