"""A study under attack ends with the report of a study left in peace: `pytest -m slow tests/lab/test_chaos.py -s`.

Fifty strikes, drawn at random from every kind below with a fixed seed. Clock jumps are not among them: nothing but the
ledger's time stamps reads the clock of the day.
"""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.ledger import Ledger
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.test_launch import untimed
from tests.lab.test_trouble import HUNGRY, training

STRIKES = 50
STEPS = 4000


@dataclass
class Siege:
    """Launchers of one study, and what was done to them."""

    lab: Lab
    rng: random.Random
    launchers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)

    def relaunch(self) -> None:
        """At least one launcher, at times two of them, on one study."""
        self.launchers = [process for process in self.launchers if process.poll() is None]
        while len(self.launchers) < self.rng.choice((1, 1, 2)):
            command = [sys.executable, "-m", "coregpt.cli", *self.lab.command("--jobs", "2", "--hang-seconds", "4")]
            with (self.lab.folder / "out.txt").open("ab") as out:
                self.launchers.append(subprocess.Popen(command, stdout=out, stderr=out))

    def worker(self, number: int) -> bool:
        pids = sorted(training(self.lab.runs))
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(pids), number)
        return bool(pids)

    def launcher(self, number: int) -> bool:
        self.rng.choice(self.launchers).send_signal(number)
        return True

    def pool(self) -> bool:
        """The process that workers are forks of."""
        found = [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if b"coregpt.lab.pool" in _read(path) and int(path.parent.name) not in training(self.lab.runs)
        ]
        ours = [pid for pid in found if _parent(pid) in {process.pid for process in self.launchers}]
        if ours:
            os.kill(self.rng.choice(ours), signal.SIGKILL)
        return bool(ours)

    def torn_line(self) -> bool:
        """A line that a machine without power did not finish: with everything of the study killed, as it would be."""
        for process in self.launchers:
            process.kill()
            process.wait()
        for pid in training(self.lab.runs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
        logs = [path for path in self.lab.runs.glob("*/metrics.jsonl") if not (path.parent / "result.json").exists()]
        for path in [*logs, self.lab.runs / "ledger.jsonl"]:
            with path.open("ab") as file:
                file.write(b'{"step": 1')
        return bool(logs)

    def full_disk(self) -> bool:
        """A launcher whose processes may write no file beyond 20 kB."""
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({20_000}, {20_000}))"
        code = f"{limit}; from coregpt.cli import main; raise SystemExit(main({self.lab.command('--jobs', '1')!r}))"
        with (self.lab.folder / "out.txt").open("ab") as out:
            self.launchers.append(subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=out))
        return True

    def locked_database(self) -> bool:
        """Somebody holds MLflow's database while a launcher wants it."""
        with contextlib.suppress(sqlite3.OperationalError), sqlite3.connect(self.lab.runs / "mlflow.db") as held:
            held.execute("BEGIN EXCLUSIVE")
            time.sleep(1.0)
            held.rollback()
        return True

    def strike(self) -> None:
        kinds: dict[str, Callable[[], bool]] = {
            "SIGKILL worker": lambda: self.worker(signal.SIGKILL),
            "SIGTERM worker": lambda: self.worker(signal.SIGTERM),
            "SIGSTOP worker": lambda: self.worker(signal.SIGSTOP),
            "SIGKILL launcher": lambda: self.launcher(signal.SIGKILL),
            "SIGTERM launcher": lambda: self.launcher(signal.SIGTERM),
            "SIGKILL pool": self.pool,
            "torn last lines": self.torn_line,
            "full disk": self.full_disk,
            "database locked": self.locked_database,
        }
        kind = self.rng.choice(list(kinds))
        self.struck[kind] += kinds[kind]()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    stat = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    return int(stat[1]) if stat else 0


@pytest.fixture
def under_siege(executed: Lab, tmp_path: Path) -> tuple[Lab, Lab]:
    """The same study twice: one for peace, one for war. An arm diverges, and one runs out of memory."""
    (tmp_path / "hungry.py").write_text(HUNGRY)
    arms = {"gelu": {}, "hungry": {"plugins": {"hungry": {}}}, "wild": {"optim": {"lr": 1e30}}}
    base = {**STUDY["base"], "batch_tokens": 256, "tokens": 256 * STEPS}
    study = write_study(tmp_path / "s.yaml", executed.data, arms=arms, base=base, seeds=4, plugin_files=["hungry.py"])
    return Lab(tmp_path / "peace", executed.data, study), Lab(tmp_path / "war", executed.data, study)


@pytest.mark.slow
def test_fifty_strikes_change_nothing(under_siege: tuple[Lab, Lab]) -> None:
    peace, war = under_siege
    assert main(peace.command("--no-mlflow")) == 0
    war.folder.mkdir()
    siege = Siege(war, random.Random(0))
    while sum(siege.struck.values()) < STRIKES:
        siege.relaunch()
        time.sleep(siege.rng.uniform(0.5, 4.0))
        siege.strike()
    for process in siege.launchers:
        process.terminate()
        process.wait()
    deadline = time.monotonic() + 60
    while training(war.runs) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert main(war.command("--no-mlflow")) == 0
    print(dict(siege.struck))  # noqa: T201
    ended = Counter(entry["run"] for entry in Ledger.of(war.runs).read() if entry.event in ("ended", "found"))
    assert sorted(ended) == sorted(run["run_id"] for run in war.report()["runs"]), "a run was lost"
    assert set(ended.values()) == {1}, "a run was repeated"
    assert untimed(war) == untimed(peace)
