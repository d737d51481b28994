"""`python -m benchmarks.schedule_sim`: the real launcher with simulated workers, 10,000 runs on 1,024 GPUs.

Workers take simulated time and write real results; some attempts are killed on the way, a tenth as many hang. The
launcher's own time is real and counts: GPUs wait while it works. Studies of several sizes show whether scheduling a run
costs more in a larger study, and the largest one is repeated with fewer failures. Writes
`benchmarks/results/schedule_sim.{json,md}`.
"""

import heapq
import io
import json
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from benchmarks.growth import exponent
from coregpt.engine.data import write_shard
from coregpt.lab.execute.children import Child
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.jobs import Policy
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.execute.slots import Slot
from coregpt.lab.execute.tasks import missing
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.progress import Display
from coregpt.lab.records.claims import Claim
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan

RESULTS = Path(__file__).parent / "results"
GPUS, ARMS = 1024, 20
SIZES = (1_260, 2_520, 5_000, 10_000)
MEAN_SECONDS, START_SECONDS = 600.0, 20.0
CHECKPOINT_SECONDS = 60.0
"""As the trainer's default."""
HANG_SECONDS, WATCH_SECONDS = 300.0, 60.0
KILLED = (0.01, 0.001, 0.0)
"""Shares of attempts, the first for all sizes. Clusters lose a GPU in tens of thousands of hours: 0.001 is many."""
HUNG_PER_KILLED = 0.1
NOISE = 0.03
GOAL = 0.97


class Terminal(io.StringIO):
    """Shows the table of runs whenever the launcher looks at them, which costs it more than a log does."""

    def isatty(self) -> bool:
        return True


@dataclass
class Worker:
    """A child that ends when simulated time says so."""

    site: "Site"
    folder: RunFolder
    end: float
    code: int
    spoke: float = 0.0

    def poll(self) -> int | None:
        now = self.site.now()
        if now < self.end:
            if self.end < np.inf and now - self.spoke > HANG_SECONDS / 3:
                self.spoke = now
                with self.folder.metrics.open("a") as file:
                    file.write("\n")
            return None
        if self.code == 0 and self.folder.result() is None:
            result = {
                "status": "finished",
                "value": 1.0,
                "select": 1.0,
                "reason": "",
                "notes": [],
                "train_seconds": 0.0,
            }
            self.folder.write_result({**result, "tokens_per_second": 1.0, "compile_seconds": 0.0})
        return self.code

    def signal(self, number: int) -> None:
        self.end, self.code = self.site.now(), -number
        self.site.wake(self.end)

    def disown(self) -> None:
        """Nobody listens."""


@dataclass
class Site(Executor):
    """A cluster that exists in arithmetic: simulated time passes in `sleep`, real time everywhere else."""

    seconds: dict[str, float] = field(default_factory=dict)
    """What a run takes, by id."""
    killed: float = 0.0

    def __post_init__(self) -> None:
        self.pool, self.skipped, self.useful = None, 0.0, 0.0
        self.ends: list[float] = []
        self.rng = np.random.default_rng(0)
        self.attempts = 0
        self.done: dict[str, float] = {}
        """Seconds of work behind each run's last checkpoint."""

    def now(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        """On to the next end of a worker."""
        while self.ends and self.ends[0] <= self.now():
            heapq.heappop(self.ends)
        self.skipped += max(0.0, self.ends[0] - self.now()) if self.ends else seconds

    def wake(self, at: float) -> None:
        heapq.heappush(self.ends, at)

    def begin(self, slot: Slot, folder: RunFolder, until: int | None, held: Claim) -> Child:
        self.attempts += 1
        behind = self.done.get(folder.id, 0.0)
        left = self.seconds[folder.id] - behind
        fate = self.rng.random()
        hung = HUNG_PER_KILLED * self.killed
        if fate < hung + self.killed:
            there = left * float(self.rng.random())
            kept = there // CHECKPOINT_SECONDS * CHECKPOINT_SECONDS
            self.done[folder.id] = behind + kept
            self.useful += kept
            if fate < hung:
                return Worker(self, folder, np.inf, 0)
            end, code = self.now() + START_SECONDS + there, -signal.SIGKILL
        else:
            end, code = self.now() + START_SECONDS + left, 0
            self.useful += START_SECONDS + left
        self.wake(end)
        return Worker(self, folder, end, code)


def study(folder: Path, runs: int) -> Path:
    """Arms of different depths, so that runs differ in length; equal tokens."""
    shards = folder / "shards"
    if not shards.exists():
        shards.mkdir()
        for token, name in enumerate(("train", "val")):
            write_shard(shards / f"{name}.bin", np.full(5000, token, dtype=np.uint16))
        (shards / "meta.json").write_text(json.dumps({"vocab": 16, "separator": 0, "unit": "token"}))
    shape = {"vocab": 16, "dim": 8, "depth": 1, "heads": 2, "context": 16}
    base = {"data": {"source": str(shards)}, "model": shape, "tokens": 1024, "batch_tokens": 64, "eval_tokens": 256}
    arms = {f"lr-{i}": {"optim": {"lr": 0.001 * (i + 1)}, "model": {"depth": 1 + i % 4}} for i in range(ARMS)}
    body = {"question": "How does scheduling scale?", "base": {**base, "device": "cpu"}, "arms": arms}
    path = folder / f"s{runs}.yaml"
    path.write_text(yaml.safe_dump({**body, "seeds": runs // ARMS, "test": {"baseline": "lr-0"}}, sort_keys=False))
    return path


@dataclass(frozen=True)
class Measured:
    """One simulated study. `plan_seconds` and `resume_seconds` are wall time, `launcher_ms` processor time per run."""

    runs: int
    killed: float
    utilisation: float
    hours: float
    attempts: int
    launcher_ms: float
    plan_seconds: float
    resume_seconds: float


def simulate(folder: Path, runs: int, killed: float) -> Measured:
    path = study(folder, runs)
    begun = time.monotonic()
    made = plan(outline(load(path)))
    planned = time.monotonic() - begun
    store = folder / f"runs-{runs}-{killed}"
    site = Site(Slot(()), durations(made), killed)
    policy = Policy(hang_seconds=HANG_SECONDS, watch_seconds=WATCH_SECONDS)
    launcher = Launcher(made, store, [Slot(())] * GPUS, Display(Terminal()), policy, site)
    start, busy = site.now(), time.process_time()
    tally = launcher.execute()
    makespan, busy = site.now() - start, time.process_time() - busy
    if tally.failed or len(tally.trained) != runs:
        raise RuntimeError(f"{len(tally.failed)} of {runs} runs failed, {len(tally.trained)} trained")
    begun = time.monotonic()
    again = plan(outline(load(path)))
    if missing(again, store):
        raise RuntimeError("a complete study has missing runs")
    resumed = time.monotonic() - begun
    utilisation = site.useful / (GPUS * makespan)
    return Measured(runs, killed, utilisation, makespan / 3600, site.attempts, 1e3 * busy / runs, planned, resumed)


def durations(made: Plan) -> dict[str, float]:
    """Seconds in proportion to FLOPs, `MEAN_SECONDS` on average."""
    mean = sum(cost.flops for cost in made.costs.values()) / len(made.costs)
    rng = np.random.default_rng(1)
    spread = {run.id: float(1 + NOISE * rng.normal()) for run in made.runs}
    return {run.id: MEAN_SECONDS * spread[run.id] * made.costs[run.arm].flops / mean for run in made.runs}


def main() -> None:
    memory = Path("/dev/shm")  # what is simulated is the launcher, not the disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        sizes = [simulate(Path(folder), runs, KILLED[0]) for runs in SIZES]
        rarer = [simulate(Path(folder), SIZES[-1], killed) for killed in KILLED[1:]]
    growth = exponent([m.runs for m in sizes], [m.launcher_ms for m in sizes])
    lines = [
        "# Scheduling, simulated",
        "",
        f"The launcher of `coregpt ablate` with simulated workers on {GPUS:,} GPUs: runs of {MEAN_SECONDS:.0f} s on "
        f"average, some killed, a tenth as many stuck for {HANG_SECONDS:.0f} s, a checkpoint every "
        f"{CHECKPOINT_SECONDS:.0f} s. "
        "Utilisation is useful GPU time over all GPU time between the first start and the last end, ramp and tail "
        "included; useful are starts and training that ended in a checkpoint or a result, not what a failure lost, nor "
        "waiting. The launcher shows its table on a terminal. `python -m benchmarks.schedule_sim` makes this page.",
        "",
        "| runs | killed | utilisation | hours | attempts | launcher, ms per run | plan, s | resume, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for m in [*sizes, *rarer]:
        lines.append(
            f"| {m.runs:,} | {m.killed:.1%} | {m.utilisation:.1%} | {m.hours:.2f} | {m.attempts:,} "
            f"| {m.launcher_ms:.1f} | {m.plan_seconds:.1f} | {m.resume_seconds:.1f} |"
        )
    lines += ["", f"Launcher time per run grows with the number of runs to the power {growth:+.2f}.", ""]
    lines += [f"Goal: {GOAL:.0%} with the most runs. A run that hangs late holds up the end of the study.", ""]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "schedule_sim.md").write_text("\n".join(lines))
    record = {"gpus": GPUS, "growth": growth, "studies": [vars(m) for m in [*sizes, *rarer]]}
    (RESULTS / "schedule_sim.json").write_text(json.dumps(record, indent=2) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
