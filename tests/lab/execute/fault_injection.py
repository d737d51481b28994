"""What attacks a study: every kind of trouble, dealt from a shuffled deck, so that none is left to luck."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import Lab

DECK = {
    "SIGKILL worker": 8,
    "SIGTERM worker": 8,
    "SIGSTOP worker": 5,
    "SIGKILL launcher": 5,
    "SIGTERM launcher": 4,
    "SIGKILL pool": 4,
    "power cut": 4,
    "full disk": 4,
    "clock jump": 4,
}
PROMPT = 10.0
"""Seconds within which a worker that is asked to stop has left its checkpoint, and its run is started again."""
PATIENCE = 120.0
LARGEST_FILE = 20_000
CLOCK = """
import datetime
import os
import time

real, real_ns, real_date = time.time, time.time_ns, datetime.datetime


def jump():
    with open(os.environ["JUMPING_CLOCK"]) as file:
        return float(file.read())


class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)


time.time, time.time_ns = lambda: real() + jump(), lambda: real_ns() + int(1e9 * jump())
datetime.datetime = Jumping
"""
"""A `sitecustomize` with which a process reads the clock of the day, shifted by what a file says at that moment."""


@dataclass
class Siege:
    """Launchers of one study, and what was done to them."""

    lab: Lab
    rng: random.Random
    launchers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    stopping: list[float] = field(default_factory=list)
    """Seconds from SIGTERM to the end of a worker."""
    requeued: list[float] = field(default_factory=list)
    """Seconds from SIGTERM to the next start of its run."""
    pairs: int = 0
    """How often two launchers lived at once."""

    def __post_init__(self) -> None:
        (self.lab.folder / "sitecustomize.py").write_text(CLOCK)
        self.clock, self.out = self.lab.folder / "clock", self.lab.folder / "out.txt"
        self.clock.write_text("0")
        path = os.pathsep.join(filter(None, (str(self.lab.folder), os.environ.get("PYTHONPATH"))))
        self.variables = {**os.environ, "PYTHONPATH": path, "JUMPING_CLOCK": str(self.clock)}

    def lay(self) -> None:
        """Deal the whole deck."""
        strikes: dict[str, Callable[[], bool]] = {
            "SIGKILL worker": lambda: self.worker(signal.SIGKILL),
            "SIGTERM worker": self.ask_worker,
            "SIGSTOP worker": lambda: self.worker(signal.SIGSTOP),
            "SIGKILL launcher": lambda: self.launcher(signal.SIGKILL),
            "SIGTERM launcher": lambda: self.launcher(signal.SIGTERM),
            "SIGKILL pool": self.pool,
            "power cut": self.power_cut,
            "full disk": self.full_disk,
            "clock jump": self.clock_jump,
        }
        cards = [kind for kind, number in DECK.items() for _ in range(number)]
        self.rng.shuffle(cards)
        for kind in cards:
            self.relaunch()
            time.sleep(self.rng.uniform(0.2, 3.0))
            self.until(strikes[kind], f"nothing to strike by {kind}: is the study over? It must outlast the deck")
            self.struck[kind] += 1

    def lift(self) -> None:
        """The launchers are asked to stop; what they leave behind is the next launcher's business."""
        for process in self.launchers:
            process.terminate()
        for process in self.launchers:
            process.wait()

    def relaunch(self) -> None:
        """At least one launcher, at times two of them, on one study."""
        self.launchers = [process for process in self.launchers if process.poll() is None]
        wanted = self.rng.choice((1, 1, 2))
        while len(self.launchers) < wanted:
            given = self.lab.command("--jobs", "2", "--hang-seconds", "4", "--retries", "50", "--no-mlflow")
            command = [sys.executable, "-m", "coregpt.cli", *given]
            with self.out.open("ab") as out:
                self.launchers.append(subprocess.Popen(command, stdout=out, stderr=out, env=self.variables))
        self.pairs += len(self.launchers) > 1

    def until(self, strike: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not strike():
            assert time.monotonic() < deadline, complaint
            time.sleep(0.1)
            self.launchers = [process for process in self.launchers if process.poll() is None]
            if not self.launchers:
                self.relaunch()

    # -- strikes: each says whether it hit --------------------------------------------------------------------

    def worker(self, number: int) -> bool:
        found = self.prey()
        if found:
            os.kill(found[0], number)
        return found is not None

    def ask_worker(self) -> bool:
        """SIGTERM: the checkpoint is there in time, and its launcher, if it has one, starts the run again in time."""
        found = self.prey()
        if not found:
            return False
        pid, folder = found
        saved, starts, asked = stamp(folder.checkpoint), self.starts(folder), time.monotonic()
        launcher = next((process for process in self.launchers if process.pid == parent(parent(pid))), None)
        os.kill(pid, signal.SIGTERM)
        while lives(pid):
            assert time.monotonic() - asked < PROMPT, f"{folder.path} did not stop"
            time.sleep(0.01)
        self.stopping.append(time.monotonic() - asked)
        if folder.result() is None and folder.error() is None:
            assert stamp(folder.checkpoint) != saved, f"{folder.path} stopped without a checkpoint"
        if launcher is not None:
            while folder.result() is None and self.starts(folder) == starts:
                if launcher.poll() is not None:  # an earlier strike had hit it: whoever comes next goes on
                    return True
                assert time.monotonic() - asked < PROMPT, f"{folder.path} was not started again: {self.story(folder)}"
                time.sleep(0.02)
            self.requeued.append(time.monotonic() - asked)
        return True

    def launcher(self, number: int) -> bool:
        living = [process for process in self.launchers if process.poll() is None]
        if living:
            self.rng.choice(living).send_signal(number)
        return bool(living)

    def pool(self) -> bool:
        """The process that workers are forks of."""
        found = self.pools()
        if found:
            os.kill(self.rng.choice(found), signal.SIGKILL)
        return bool(found)

    def power_cut(self) -> bool:
        """Everything ends at once, and lines that were being written have no end."""
        while there := self.everybody():
            for pid in there:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self.launchers:
                process.wait()
            time.sleep(0.05)
        logs = [path for path in self.lab.runs.glob("*/metrics.jsonl") if not (path.parent / "result.json").exists()]
        for path in [*logs, self.lab.runs / "ledger.jsonl"]:
            with path.open("ab") as file:
                file.write(b'{"step": 1')
        return bool(logs)

    def full_disk(self) -> bool:
        """For a while no process can write a file beyond 20 kB; then there is room again."""
        limited = self.limit(LARGEST_FILE)
        time.sleep(self.rng.uniform(0.5, 3.0))
        while left := self.limit(resource.RLIM_INFINITY) - limited:  # forked meanwhile, with the limit
            limited |= left
        return len(limited) > 1

    def clock_jump(self) -> bool:
        """The clock of the day is set by hours, forth or back."""
        self.clock.write_text(f"{self.rng.choice((-1, 1)) * self.rng.uniform(3600, 48 * 3600):.0f}")
        return True

    # -- who there is --------------------------------------------------------------------------------------

    def prey(self) -> tuple[int, RunFolder] | None:
        """A worker that trains and is not stopped, with its run."""
        found = [(pid, path.parent) for pid, path in held(self.lab.runs) if path.name == "metrics.jsonl"]
        active = sorted((pid, path) for pid, path in found if state(pid) not in ("T", "Z", ""))
        training = [(pid, RunFolder(path)) for pid, path in active if RunFolder(path).newest().get("step", 0) > 0]
        return self.rng.choice(training) if training else None

    def pools(self) -> list[int]:
        ours = {process.pid for process in self.launchers if process.poll() is None}
        commands = ((int(path.parent.name), path) for path in Path("/proc").glob("[0-9]*/cmdline"))
        return [pid for pid, path in commands if parent(pid) in ours and b"coregpt.lab.execute.pool" in read(path)]

    def everybody(self) -> set[int]:
        holders = {pid for pid, _ in held(self.lab.runs) if state(pid) != "Z"} - {os.getpid()}
        return holders | set(self.pools()) | {process.pid for process in self.launchers if process.poll() is None}

    def limit(self, size: int) -> set[int]:
        """Whom it now holds for: the largest file in bytes that a process may write."""
        there = set()
        for pid in self.everybody():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
                there.add(pid)
        return there

    def story(self, folder: RunFolder) -> str:
        """The last that the ledger knows of all runs, and what this one said."""
        entries = Ledger.of(self.lab.runs).read()[-12:]
        told = [f"{entry['run']} {entry.event} {entry.get('reason')}" for entry in entries]
        return f"{folder.error()}; {told}; {self.out.read_text()[-1500:]}"

    def starts(self, folder: RunFolder) -> int:
        entries = Ledger.of(self.lab.runs).read()
        return sum(entry.event == "started" and entry["run"] == folder.id for entry in entries)


def held(store: Path) -> list[tuple[int, Path]]:
    """Which processes have which files of a store open."""
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            target = os.readlink(path)
            if target.startswith(str(store)):
                found.append((int(path.parts[2]), Path(target)))
    return found


def stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is replaced."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else (0, 0)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def facts(pid: int) -> list[str]:
    """State, parent and so on; empty for a process that is gone."""
    return read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].decode().split()


def state(pid: int) -> str:
    return (facts(pid) or [""])[0]


def parent(pid: int) -> int:
    return int((facts(pid) or ["", "0"])[1])


def lives(pid: int) -> bool:
    return state(pid) not in ("", "Z")
