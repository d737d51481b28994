"""Executes the missing runs of a plan, one process per core or GPU, and can be stopped and called again."""

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from coregpt.lab.ledger import Event, Ledger
from coregpt.lab.pool import CAN_FORK, Child, Pool, spawn
from coregpt.lab.progress import Display, duration
from coregpt.lab.slots import Slot
from coregpt.lab.store import Claim, RunFolder, claim
from coregpt.lab.study import Plan, PlannedRun
from coregpt.lab.tasks import Task, missing
from coregpt.lab.worker import COMPLETE, STOPPED

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
"""How long a stopped worker may take to write its checkpoint before it is killed."""


@dataclass
class Tally:
    """What became of the runs that were missing."""

    trained: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Run id to the reason."""
    interrupted: bool = False


@dataclass
class Job:
    """A run that is executing."""

    task: Task
    folder: RunFolder
    process: Child
    slot: Slot
    steps: int
    begun: float
    offset: float
    """Share of the run that an earlier process had done."""
    last: dict[str, float] = field(default_factory=dict)

    @property
    def run(self) -> PlannedRun:
        return self.task.run

    def share(self) -> float:
        return self.last.get("step", 0) / self.steps

    def refresh(self) -> None:
        """Look at the newest complete line of the metrics."""
        self.last.update(self.folder.newest())


@dataclass
class Signals:
    """Requests to stop, counted: the second one does not wait for checkpoints."""

    count: int = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


class Launcher:
    """A queue of tasks, slots to execute them in, and what is executing now."""

    def __init__(self, plan: Plan, store: Path, slots: Sequence[Slot], display: Display):
        self.plan, self.store, self.display = plan, store, display
        self.queue = missing(plan, store)
        self.elsewhere: list[Task] = []
        self.free, self.jobs = list(slots), list[Job]()
        self.tally, self.ledger = Tally(), Ledger.of(store)
        self.pool = Pool(slots[0]) if CAN_FORK else None
        self.total, self.work = len(plan.runs), 0.0
        self.complete = sum(Task(run).done(store) for run in plan.runs)
        self.asked = True
        """Whether nothing has ended since `missing` was asked last: then its answer would be the same."""
        self.started = time.monotonic()

    def execute(self) -> Tally:
        """Run until nothing is missing or a signal asks to stop. Failures do not hold up other runs."""
        with caught_signals() as signals:
            while (self.queue or self.jobs or self.elsewhere or not self.asked) and not signals.count:
                self.refill()
                self.fill_slots()
                self.look_elsewhere()
                self.collect()
                self.display.status(self.status())
                time.sleep(POLL_SECONDS)
            if signals.count and (self.queue or self.jobs or self.elsewhere):
                self.tally.interrupted = True
                self.stop(signals)
        self.display.clear()
        if self.pool:
            self.pool.close()
        return self.tally

    # -- starting ------------------------------------------------------------------------------------------

    def refill(self) -> None:
        """What has ended may have decided what comes next. A run that failed is not tried twice by one call."""
        if self.queue or self.asked or not self.free:
            return
        taken = {job.run.id for job in self.jobs} | {task.run.id for task in self.elsewhere}
        taken |= self.tally.failed.keys()
        self.queue = [task for task in missing(self.plan, self.store) if task.run.id not in taken]
        self.asked = True

    def fill_slots(self) -> None:
        while self.free and self.queue:
            task = self.queue.pop(0)
            folder = RunFolder(self.store / task.run.id)
            folder.create(task.run.record, task.run.plugin_files)
            held = claim(folder)
            if held is None:
                self.elsewhere.append(task)
            elif task.done(self.store):
                held.release()
                self.complete += folder.result() is not None
                self.asked = False
            else:
                self.start(task, folder, held)

    def start(self, task: Task, folder: RunFolder, held: Claim) -> None:
        """The child inherits the claim, so that it ends with the child and not with this process."""
        run = task.run
        self.enter("started", run)
        slot = self.free.pop(0)
        folder.clear_error()
        begin = self.pool.start if self.pool and slot.ranks == 1 else spawn
        process = begin(slot, folder.path, task.until, folder.log, held.descriptor)
        held.release()
        job = Job(task, folder, process, slot, self.plan.costs[run.arm].steps, time.monotonic(), 0.0)
        if folder.checkpoint.exists():
            job.refresh()
            job.offset = job.share()
            self.display.event(f"{name(run)} goes on from its checkpoint near step {job.last.get('step', 0):.0f}")
        self.jobs.append(job)

    def look_elsewhere(self) -> None:
        """Runs that another launcher executes: done when it is done, ours if it dies."""
        for task in list(self.elsewhere):
            held = claim(RunFolder(self.store / task.run.id))
            if held is not None:
                held.release()
                self.elsewhere.remove(task)
                self.queue.append(task)

    # -- ending --------------------------------------------------------------------------------------------

    def collect(self) -> None:
        for job in list(self.jobs):
            job.refresh()
            code = job.process.poll()
            if code is not None:
                self.jobs.remove(job)
                self.free.append(job.slot)
                self.close(job, code)

    def close(self, job: Job, code: int) -> None:
        job.process.disown()
        self.asked = False
        result = job.folder.result()
        if code == STOPPED and not self.tally.interrupted and job.task.done(self.store):
            self.pause(job)
        elif code == COMPLETE and result is not None:
            self.enter("ended", job.run, status=result["status"], value=result["value"])
            self.complete += 1
            self.work += self.weight(job.run) * (1 - job.offset)
            self.tally.trained.append(job.run.id)
            seconds = duration(time.monotonic() - job.begun)
            end = (
                f"val_loss {result['value']:.4f}" if result["status"] == "finished" else f"DIVERGED, {result['reason']}"
            )
            notes = "".join(f" ({note})" for note in result["notes"])
            self.display.event(f"[{self.complete}/{self.total}] {name(job.run)}: {end}, {seconds}{notes}")
        elif not self.tally.interrupted:
            self.fail(job, code)

    def pause(self, job: Job) -> None:
        """The run is where its task was to take it; whether it goes on is decided from what is on disk."""
        job.refresh()
        self.work += self.weight(job.run) * (job.share() - job.offset)
        self.display.event(f"{name(job.run)}: paused at step {job.folder.paused()} of {job.steps}")

    def fail(self, job: Job, code: int) -> None:
        error = job.folder.error()
        reason = str(error["message"]) if error else ended(code)
        self.tally.failed[job.run.id] = reason
        self.enter("failed", job.run, reason=reason)
        if error is None:
            job.folder.write_error(reason, "")
        self.display.event(f"FAILED {name(job.run)}: {reason}\n  log: {job.folder.log}")
        for line in job.folder.log_tail().splitlines():
            self.display.event(f"  | {line}")

    def enter(self, event: Event, run: PlannedRun, **outcome: Any) -> None:
        """Into the ledger, before anything that follows from it."""
        self.ledger.append(event, study=self.plan.study.name, run=run.id, arm=run.arm, seed=run.seed, **outcome)

    def stop(self, signals: Signals) -> None:
        """Ask every worker for a checkpoint and wait; a second signal, or too long a wait, kills them."""
        self.display.event("stopping: workers write their checkpoints (again to stop at once)")
        asked, deadline = signals.count, time.monotonic() + PATIENCE_SECONDS
        for job in self.jobs:
            job.process.signal(signal.SIGTERM)
        while self.jobs:
            if signals.count > asked or time.monotonic() > deadline:
                for job in self.jobs:
                    job.process.signal(signal.SIGKILL)
            self.collect()
            time.sleep(POLL_SECONDS)

    # -- telling -------------------------------------------------------------------------------------------

    def weight(self, run: PlannedRun) -> float:
        """Expected work of a run; arms differ in size and budget."""
        return self.plan.costs[run.arm].flops

    def status(self) -> str:
        """`3 of 12 runs done, 41 s left | gpt seed 1: step 120/400, loss 1.8231 | ...`"""
        current = []
        for job in self.jobs:
            loss = job.last.get("loss", job.last.get("val_loss"))
            text = f"step {job.last.get('step', 0):.0f}/{job.steps}" if job.last else "starting"
            current.append(f"{name(job.run)}: {text}" + (f", loss {loss:.4f}" if loss is not None else ""))
        if self.elsewhere:
            current.append(f"{len(self.elsewhere)} in another process")
        return " | ".join([f"{self.complete} of {self.total} runs done{self.remaining()}", *current])

    def remaining(self) -> str:
        active = sum(self.weight(job.run) * (job.share() - job.offset) for job in self.jobs)
        done, elapsed = self.work + max(active, 0.0), time.monotonic() - self.started
        left = sum(self.weight(task.run) for task in self.queue)
        left += sum(self.weight(job.run) * (1 - job.share()) for job in self.jobs)
        return f", {duration(left * elapsed / done)} left" if done > 0 and elapsed > 2 else ""


def name(run: PlannedRun) -> str:
    return f"{run.arm} seed {run.seed}"


def ended(code: int) -> str:
    """What an exit code without an error.json means."""
    if code == STOPPED:
        return "the process was asked to stop and left a checkpoint; the next call goes on from there"
    if code < 0:
        killed = signal.Signals(-code).name
        return f"the process was ended by {killed}" + (" (out of memory?)" if killed == "SIGKILL" else "")
    return f"the process ended with exit code {code} before it could say why"


@contextlib.contextmanager
def caught_signals() -> Iterator[Signals]:
    """SIGINT and SIGTERM are counted instead of ending this process."""
    signals = Signals()
    before = {number: signal.signal(number, signals) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
