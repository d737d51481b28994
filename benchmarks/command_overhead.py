"""`python -m benchmarks.command_overhead`: what the harness adds to each run of somebody else's script.

A script in a repository of its own prints six evaluation lines and sleeps in between, so that a run of it has a length
which no machine changes. It is called as a user would call it, in its repository, and as a run of a study, by the
launcher of `coregpt ablate` with one slot: before each run of the study comes a bare call, and the two differ by what
the harness adds (clone, edit, log, reading its lines, its end, ledger). The run that is made twice is left out. Once
per study come planning, the start of the process that workers are forked from, and the report. On a machine that
others use too, waiting for a processor stretches wall time, so the page tells the load, and the processor time of
everything that a run starts beside it. Writes `benchmarks/results/command_overhead.{json,md}`.
"""

import argparse
import contextlib
import io
import math
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.pages import measured_with, publish, table
from coregpt.lab.execute.children import Child
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.execute.pool import Pool
from coregpt.lab.execute.slots import Slot
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.progress import Display
from coregpt.lab.records.claims import Claim
from coregpt.lab.records.store import RunFolder
from coregpt.report.analysis.collect import collect
from coregpt.report.analysis.summary import summarise
from coregpt.report.pages.render import render

SECONDS = 2.0
"""That the script sleeps."""
SEEDS = 8
GOAL = 0.5
"""Seconds that a run may cost beside the program."""
LONG = 300.0
"""Seconds of a run that is worth judging, and what share of it the harness may take."""
SHARE = 0.02
SCRIPT = """\
import random, sys, time
better, seconds = float(sys.argv[1]), float(sys.argv[2])
random.seed(1337 + 0)
for step in range(6):
    time.sleep(seconds / 6)
    print(f"step {step}: val loss {3 - 0.1 * step - better + random.gauss(0, 0.01):.6f}", flush=True)
"""


@dataclass
class BySide(Executor):
    """This computer, where a bare call of the program comes before each run of it."""

    command: Sequence[str] = ()
    where: Path = Path()
    bare: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    """Wall seconds from the start of one run until the next could start."""
    begun: float | None = None

    def begin(self, slot: Slot, folder: RunFolder, until: int | None, held: Claim) -> Child:
        self.ended()
        begun = time.perf_counter()
        subprocess.run(self.command, cwd=self.where, check=True, stdout=subprocess.DEVNULL)
        self.begun = time.perf_counter()
        self.bare.append(self.begun - begun)
        return super().begin(slot, folder, until, held)

    def ended(self) -> None:
        """The run that was going on, if any, has ended."""
        if self.begun is not None:
            self.runs.append(time.perf_counter() - self.begun)
            self.begun = None

    def close(self) -> None:
        self.ended()
        super().close()


@dataclass(frozen=True)
class Cost:
    """Wall seconds, unless said otherwise."""

    bare: tuple[float, ...]
    """Of each call; the run after it is its neighbour."""
    runs: tuple[float, ...]
    planning: float
    pool: float
    report: float
    processor: tuple[float, float]
    """Seconds of the processor by a bare call and by a run, the launcher's included; NaN outside of Linux."""
    load: float
    """Processes that ran or waited, on average over the last minute."""

    @property
    def added(self) -> list[float]:
        return [run - bare for run, bare in zip(self.runs, self.bare, strict=True)]


def repository(folder: Path) -> Path:
    """With the script at one commit."""
    repo = folder / "theirs"
    repo.mkdir()
    (repo / "train.py").write_text(SCRIPT)
    git = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    for words in (["init", "--quiet"], ["add", "train.py"], ["commit", "--quiet", "-m", "A script"]):
        subprocess.run([*git, *words], cwd=repo, check=True)
    return repo


def study(folder: Path, seconds: float, seeds: int) -> Path:
    """Two settings of the script."""
    said = {
        "question": "What does the harness add?",
        "base": {
            "command": {
                "repo": "theirs",
                "run": f"python train.py {{better}} {seconds}",
                "edit": {"train.py": {"random.seed(1337 + 0": "random.seed(1337 + {seed}"}},
                "set": {"better": 0.0},
                "metric": {"pattern": "step {step}: val loss {val_loss}"},
                "time_limit": "5m",
            },
            "device": "cpu",
        },
        "arms": {"plain": {}, "better": {"command": {"set": {"better": 0.1}}}},
        "seeds": seeds,
        "test": {"metric": "val_loss", "baseline": "plain", "margin": 0.01},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    return path


def measure(folder: Path, seconds: float, seeds: int) -> Cost:
    """One study, one run at a time, each beside a bare call."""
    repo = repository(folder)
    command = ["/bin/sh", "-c", f"python train.py 0.0 {seconds}"]
    begun = time.perf_counter()
    made = plan(outline(load(study(folder, seconds, seeds))))
    register(made, folder / "runs")
    planning = time.perf_counter() - begun
    slot = Slot(())
    with contextlib.closing(Pool(slot)) as pool:
        machine = BySide(slot, pool=pool, command=command, where=repo)
        opened = started(pool, folder)
        before, own, called = spent_below(pool.process.pid), time.process_time(), children()
        tally = Launcher(made, folder / "runs", [slot], Display(io.StringIO()), machine=machine).execute()
        own, called = time.process_time() - own, children() - called
        below = spent_below(pool.process.pid) - before
    if len(tally.trained) != len(made.runs):
        raise RuntimeError(f"{len(tally.trained)} of {len(made.runs)} runs ended: {tally.failed}")
    begun = time.perf_counter()
    render(summarise(*collect(made, folder / "runs")))
    report = time.perf_counter() - begun
    twice = tally.trained.index(made.runs[0].id)
    kept = [i for i in range(len(made.runs)) if i != twice]
    bare, runs = (tuple(side[i] for i in kept) for side in (machine.bare, machine.runs))
    processor = called / len(machine.bare), own / len(machine.bare) + below / (len(machine.bare) + 1)
    return Cost(bare, runs, planning, opened, report, processor, os.getloadavg()[0])


def children() -> float:
    """Processor seconds of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def spent_below(pid: int) -> float:
    """The same of another process, and its own."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def started(pool: Pool, folder: Path) -> float:
    """Seconds until the pool has forked its first worker, of a folder that holds no run."""
    begun, nothing = time.perf_counter(), folder / "nothing"
    nothing.mkdir()
    held = os.open(os.devnull, os.O_RDONLY)
    child = pool.start(pool.slot, nothing, None, nothing / "log", held)
    seconds = time.perf_counter() - begun
    while child.poll() is None:
        time.sleep(0.01)
    child.disown()
    os.close(held)
    return seconds


def page(cost: Cost, seconds: float) -> list[str]:
    lines = ["# What the harness adds to a script", "", *(__doc__ or "").strip().split("\n")[2:], "", measured_with()]
    load = f"load {cost.load:.1f} on {os.cpu_count()} cores"
    lines += ["", f"A script that sleeps {seconds:g} s, {len(cost.runs)} pairs, {load}; seconds per run.", ""]
    rows = [
        [name, *(f"{value:.3f}" for value in (statistics.median(side), min(side), max(side)))]
        for name, side in (("bare", cost.bare), ("in a study", cost.runs), ("**added**", cost.added))
    ]
    bare, run = cost.processor
    rows += [["processor, bare", f"{bare:.3f}", "", ""], ["processor, in a study", f"{run:.3f}", "", ""]]
    rows += [["**processor, added**", f"{run - bare:.3f}", "", ""]]
    added = statistics.median(cost.added)
    lines += table("|median|lowest|highest", rows)
    long = f"a run of {LONG / 60:g} minutes"
    lines += ["", f"Goal: less than {GOAL:g} s a run, and {SHARE:.0%} of {long}; it is {added / LONG:.2%} of that."]
    once = [["planning", f"{cost.planning:.2f}"], ["start of the pool", f"{cost.pool:.2f}"]]
    return [*lines, "", *table("once per study|seconds", [*once, ["report", f"{cost.report:.2f}"]])]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.command_overhead", description="What a harness adds.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that the script sleeps")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of each of two arms")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COREGPT_CACHE"] = str(Path(folder) / "cache")
        cost = measure(Path(folder), options.seconds, options.seeds)
    lines = page(cost, options.seconds)
    record: dict[str, Any] = {"seconds": options.seconds, **vars(cost)}
    if options.dry:
        print("\n".join(lines))
    else:
        publish("command_overhead", lines, record)


if __name__ == "__main__":
    main()
