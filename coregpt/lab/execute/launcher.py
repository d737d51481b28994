"""Executes the missing runs of a plan, one process per core or GPU, and can be stopped and called again."""

import signal
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from coregpt.engine.training.outcome import SELECT
from coregpt.lab.designs.design import Task
from coregpt.lab.execute import decisions
from coregpt.lab.execute.allowance import Deadline, Limits
from coregpt.lab.execute.eta import Eta
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.jobs import Job, Policy, name
from coregpt.lab.execute.orphans import Strangers
from coregpt.lab.execute.repeats import StartedOver
from coregpt.lab.execute.run_table import RunTable
from coregpt.lab.execute.signals import POLL_SECONDS, Signals, caught_signals
from coregpt.lab.execute.slots import Slot
from coregpt.lab.execute.tally import Failures, Tally
from coregpt.lab.execute.tasks import everything, known, missing
from coregpt.lab.execute.waiting import Waiting, Work
from coregpt.lab.progress import Display, duration
from coregpt.lab.records.claims import Claim, claim
from coregpt.lab.records.ledger import Event, Follower, Ledger
from coregpt.lab.records.losses import outcome
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan, PlannedRun

WATCH_SHARE = 0.05
"""The largest part of a launcher's time that goes into looking at runs: slots that are free come first."""
GLANCE_SECONDS = 0.05
"""How long another launcher may take to see whether a run is free: no reason to put the run off until a slot ends."""
PATIENCE_SECONDS = 60.0
"""How long a stopped worker may take to write its checkpoint before it is killed."""


class Launcher:
    """A queue of tasks, slots to execute them in, and what is executing now."""

    def __init__(
        self,
        plan: Plan,
        store: Path,
        slots: Sequence[Slot],
        display: Display,
        policy: Policy | None = None,
        machine: Executor | None = None,
        before: Sequence[Plan] = (),
    ):
        """`before`: plans of trials, whose runs count among what the study has spent."""
        self.plan, self.store, self.display = plan, store, display
        self.policy, self.machine = policy or Policy(), machine or Executor(slots[0])
        self.work = Work(plan)
        self.queue = Waiting(self.work, missing(plan, store))
        self.elsewhere: list[Task] = []
        self.free, self.jobs = list(slots), list[Job]()
        self.tally, self.ledger = Tally(), Ledger.of(store)
        self.others = Follower(self.ledger)
        self.tries, self.strangers = Counter[str](), Strangers(self.policy.hang_seconds)
        self.failures, self.started_over = Failures(), StartedOver(self.ledger)
        self.complete = sum(Task(run).done(store) for run in plan.runs)
        self.total, self.eta = max(known(plan, store), self.complete), Eta()
        self.stopping = False
        self.asked = True
        """Whether nothing has ended since `missing` was asked last: then its answer would be the same."""
        self.all_known = everything(plan, store)
        self.later = self.later_work(())
        self.run_table = RunTable(plan, store)
        self.limits = Limits(plan, store, before)
        self.deadline = Deadline(self.policy.until, plan, store)
        self.next_watch = self.machine.now() + self.policy.watch_seconds

    def execute(self) -> Tally:
        """Run until nothing is missing or a signal asks to stop. Failures do not hold up other runs."""
        with caught_signals() as signals:
            while (self.queue or self.jobs or self.elsewhere or not self.asked) and not signals.count:
                self.refill()
                if (self.queue or self.jobs) and (spent := self.limits.spent() or self.out_of_time()):
                    self.tally.spent = spent
                    break
                self.fill_slots()
                self.collect()
                if self.machine.now() >= self.next_watch:
                    self.watch()
                if self.tally.hopeless or (self.policy.fail_fast and self.tally.failed):
                    self.machine.abandon()
                    signals.count += 1
                self.machine.sleep(POLL_SECONDS)
            if self.tally.spent and self.jobs:
                self.stop(signals)
            elif signals.count and not self.tally.spent and (self.queue or self.jobs or self.elsewhere):
                given_up = self.tally.hopeless or (self.tally.failed and self.policy.fail_fast)
                self.tally.interrupted = not given_up
                self.stop(signals)
        self.display.clear()
        self.machine.close()
        return self.tally

    # -- starting ------------------------------------------------------------------------------------------

    def refill(self) -> None:
        """What has ended may have decided what comes next. A run that failed is not tried twice by one call."""
        if self.queue or self.asked or not self.free or (self.jobs and self.all_known):
            return
        taken = {job.run.id for job in self.jobs} | {task.run.id for task in self.elsewhere}
        taken |= self.tally.failed.keys()
        self.queue = Waiting(self.work, (task for task in missing(self.plan, self.store) if task.run.id not in taken))
        self.asked, self.all_known = True, everything(self.plan, self.store)
        self.total = max(known(self.plan, self.store), self.complete)
        self.later = self.later_work(taken)
        for line in decisions.note(self.plan, self.store):
            self.display.event(line)

    def out_of_time(self) -> str:
        """Why this call ends now: the moment has come, or nothing runs and nothing more would end before it."""
        now = self.machine.now()
        return self.deadline.passed(now) or ("" if self.jobs else self.deadline.too_late(now))

    def fill_slots(self) -> None:
        while self.free and self.queue and not self.deadline.too_late(self.machine.now()):
            task = self.queue.take(len(self.free) + len(self.jobs))
            folder = RunFolder(self.store / task.run.id)
            folder.create(task.run.record, task.run.plugin_files)
            held = claim(folder, GLANCE_SECONDS) or self.machine.attached(folder, task.until)
            if held is None:
                self.elsewhere.append(task)
            elif task.done(self.store):
                held.release()
                self.complete += folder.result() is not None
                self.asked = False
            elif reason := self.limits.too_long(task.run) or self.started_over.in_vain(task.run, folder):
                held.release()
                self.refuse(task.run, reason)
            else:
                self.start(task, folder, held)

    def start(self, task: Task, folder: RunFolder, held: Claim) -> None:
        """The child inherits the claim, so that it ends with the child and not with this process."""
        run = task.run
        if said := self.started_over.where_lacking(run, folder, self.about(run)):
            self.display.event(said)
        self.enter("started", run)
        slot = self.free.pop(0)
        folder.clear_error()
        process = self.machine.begin(slot, folder, task.until, held)
        held.release()
        now = self.machine.now()
        begin, end = self.work.span(task)
        job = Job(task, folder, process, slot, self.work.steps(run), now, offset=begin, end=end, heard=now)
        if folder.checkpoint.exists():
            job.refresh()
            job.offset = max(begin, job.share())
            self.display.event(f"{name(run)} goes on from its checkpoint near step {job.last.get('step', 0):.0f}")
        self.jobs.append(job)

    def look_elsewhere(self) -> None:
        """Runs that another launcher executes: done when it is done, ours if it dies."""
        for task in list(self.elsewhere):
            held = claim(folder := RunFolder(self.store / task.run.id))
            if held is not None:
                held.release()
                self.elsewhere.remove(task)
                self.queue.add_first(task)  # it had begun before what waits
            elif said := self.strangers.ended(folder, self.machine.now()):
                self.display.event(f"{name(task.run)}: {said}")

    # -- ending --------------------------------------------------------------------------------------------

    def collect(self) -> None:
        for job in list(self.jobs):
            code = job.process.poll()
            if code is not None:
                self.jobs.remove(job)
                self.free.append(job.slot)
                self.close(job, code)

    def watch(self) -> None:
        """Look at what the runs have written, and end those that are stuck."""
        now = self.machine.now()
        self.look_elsewhere()
        for job in self.jobs:
            quiet = job.watch(now)
            if self.machine.queued(job.process):
                job.heard = now
            elif quiet > self.policy.hang_seconds and not job.stuck:
                job.stuck = True
                job.process.signal(signal.SIGKILL)
            if not job.over and (reason := self.limits.too_long(job.run)):
                job.over = reason
                job.process.signal(signal.SIGTERM)
        self.limits.look([*(job.run.id for job in self.jobs), *(task.run.id for task in self.elsewhere)])
        if self.display.due():
            self.tell()
        end = self.machine.now()
        self.next_watch = end + max(self.policy.watch_seconds, (end - now) / WATCH_SHARE)

    def close(self, job: Job, code: int) -> None:
        job.process.disown()
        self.asked = False
        job.refresh()
        self.limits.look([job.run.id])  # what it trained since the last watch counts too
        result = job.folder.result()
        if result is not None:
            self.finish(job, result)
        elif self.stopping:
            return
        elif job.over:
            self.fail(job, job.over)
        elif job.task.done(self.store):
            self.pause(job)
        elif (job.folder.error() or {}).get("again"):
            self.again(job, self.reason(job, code))
        elif job.ended_from_outside(code) and self.tries[job.run.id] < self.policy.retries:
            self.tries[job.run.id] += 1
            self.again(job, f"{self.reason(job, code)}; retry {self.tries[job.run.id]} of {self.policy.retries}")
        else:
            self.fail(job, self.reason(job, code))

    def finish(self, job: Job, result: dict[str, Any]) -> None:
        run = job.run
        with self.ledger.locked():  # another launcher may have found the result and entered it
            if not self.others.knows(run.id):
                self.ledger.add("ended", **self.about(run), **outcome(result))
        self.complete += 1
        whole = result["status"] == "finished"
        self.eta.add(job.moving(self.machine.now(), self.work.flops(run), ended=whole))
        self.tally.trained.append(job.run.id)
        self.deadline.took(self.machine.now() - job.begun)
        seconds = duration(self.machine.now() - job.begun)
        what = SELECT if foreign(run.config) is None else self.plan.study.criterion.metric
        end = f"{what} {result['select']:.4f}" if whole else f"DIVERGED, {result['reason']}"
        notes = "".join(f" ({note})" for note in result["notes"])
        self.display.event(f"[{self.complete}/{self.total}] {name(job.run)}: {end}, {seconds}{notes}")

    def pause(self, job: Job) -> None:
        """The run is where its task was to take it; whether it goes on is decided from what is on disk."""
        self.eta.add(job.moving(self.machine.now(), self.work.flops(job.run), ended=True))
        self.display.event(f"{name(job.run)}: paused at step {job.folder.paused()} of {job.steps}")

    def reason(self, job: Job, code: int) -> str:
        if job.stuck:
            return f"it wrote nothing for {duration(self.policy.hang_seconds)} and was killed"
        error = job.folder.error()
        return str(error["message"]) if error else self.machine.meaning(job.process, code)

    def again(self, job: Job, reason: str) -> None:
        """Back into the queue, in front: other arms of its seed have run or are running."""
        self.enter("failed", job.run, reason=reason)
        self.display.event(f"{name(job.run)}: {reason}")
        self.queue.add_first(job.task)

    def refuse(self, run: PlannedRun, reason: str) -> None:
        """A run that an earlier call has ended for good: nothing new is put on record."""
        self.tally.failed[run.id] = reason
        self.asked = False
        self.display.event(f"FAILED {name(run)}: {reason}")

    def fail(self, job: Job, reason: str) -> None:
        self.tally.failed[job.run.id] = reason
        self.enter("failed", job.run, reason=reason)
        if job.folder.error() is None:
            job.folder.write_error(reason, "")
        self.display.event(f"FAILED {name(job.run)}: {reason}\n  log: {job.folder.log}")
        for line in job.folder.log_tail().splitlines():
            self.display.event(f"  | {line}")
        if self.failures.must_repeat(job, reason) and not self.tally.hopeless:
            self.tally.hopeless = reason
            self.display.event(f"the study stops here: every further run of '{job.run.arm}' would fail like this")

    def about(self, run: PlannedRun) -> dict[str, Any]:
        """How the ledger names a run."""
        return {"study": self.plan.study.name, "run": run.id, "arm": run.arm, "seed": run.seed}

    def enter(self, event: Event, run: PlannedRun, **outcome: Any) -> None:
        """Into the ledger, before anything that follows from it."""
        self.ledger.append(event, **self.about(run), **outcome)

    def stop(self, signals: Signals) -> None:
        """Ask every worker for a checkpoint and wait; a second signal, or too long a wait, kills them."""
        self.display.event(f"stopping: {self.machine.farewell()}")
        self.stopping = True
        asked, deadline = signals.count, self.machine.now() + PATIENCE_SECONDS
        for job in self.jobs:
            job.process.signal(signal.SIGTERM)
        while self.jobs:
            if signals.count > asked or self.machine.now() > deadline:
                for job in self.jobs:
                    job.process.signal(signal.SIGKILL)
            self.collect()
            self.machine.sleep(POLL_SECONDS)

    # -- telling -------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """`3 of 12 runs done, 41 s left, 0.2 CPU h`, and what each run is doing."""
        running = {job.run.id for job in self.jobs if not self.machine.queued(job.process)}
        lines = self.run_table.lines(running, {task.run.id for task in self.elsewhere})
        left, spent = self.remaining(), self.run_table.spent()
        self.display.status(f"{self.complete} of {self.total} runs done{left}, {spent}", lines)

    def later_work(self, taken: Collection[str]) -> float:
        """Of runs that follow whatever the present wave shows, and stand in no queue yet."""
        if self.all_known or self.total < len(self.plan.runs):
            return 0.0
        begun = {*taken, *(task.run.id for task in self.queue.tasks)}
        runs = (Task(run) for run in self.plan.runs if run.id not in begun)
        return sum(self.work.of(task) for task in runs if not task.done(self.store))

    def remaining(self) -> str:
        now, slots = self.machine.now(), min(len(self.free) + len(self.jobs), len(self.queue) + len(self.jobs))
        running = [job.moving(now, self.work.flops(job.run)) for job in self.jobs]
        left = self.eta.left(self.queue.work + self.later, running, slots)
        return "" if left is None else f", {duration(left)} left"
