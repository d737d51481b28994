"""A cluster as a launcher's machine: runs become jobs of Slurm, submitted in arrays through submitit.

The launcher stays as it is: its waves, retries, ledger and report. A job outlives it, and a run's folder names its
job, so that the same command called again attaches to what is in the queue instead of submitting it twice.
"""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.execute.children import Child
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.jobs import meaning
from coregpt.lab.execute.slots import Slot
from coregpt.lab.execute.worker import FAILED, STOPPED
from coregpt.lab.records.claims import Claim, claimed
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.job_states import ENDED, GONE, WAITING, Queue, command
from coregpt.lab.slurm.queued import job_of, job_until, note_job
from coregpt.lab.slurm.remote import SIGNAL_SECONDS, Execute, done
from coregpt.lab.slurm.sbatch import check_commands, refusal, refuse_what_slurm_refuses

NOT_HELD = -1
"""Descriptor of a claim that another process has."""
LARGEST_ARRAY = 1000
"""Slurm's own limit (MaxArraySize 1001), where a site has set no other."""
TIMEOUTS = 1000
"""How often submitit may requeue a job at its time limit; a run that does not move is given up long before."""
SETTLE = 3
"""After so many looks at the queue a shared file system shows what a job has written."""


@dataclass(frozen=True)
class SlurmOptions:
    """What to ask Slurm for, for each run."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    minutes: int = 60
    """Time limit of one job; a run that needs longer goes on from its checkpoint."""
    gpus_per_node: int = 0
    """That a node has; 0 for nodes without."""
    nodes: int | None = None
    """Per run; None for as many as its GPUs need."""
    max_jobs: int | None = None
    """In the queue at once; None for all."""
    extra: tuple[tuple[str, str], ...] = ()
    """Further options of sbatch, without the dashes."""
    poll_seconds: float = 10.0
    """Between two looks at the queue."""

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_node else "cpu"

    def layout(self, device: str, gpus_per_run: int) -> tuple[int, int]:
        """Nodes of a run and its ranks on each; on CPU one rank a node. Raises ConfigError if they do not fit."""
        if device != "cuda":
            return self.nodes or 1, 1
        nodes = self.nodes or -(-gpus_per_run // self.gpus_per_node)
        ranks, rest = divmod(gpus_per_run, nodes)
        if rest or not 0 < ranks <= self.gpus_per_node:
            raise ConfigError(
                f"gpus_per_run is {gpus_per_run}, which cannot be shared alike by {nodes} nodes "
                f"with {self.gpus_per_node} GPUs (--nodes, --gpus-per-node)"
            )
        return nodes, ranks

    def request(self, device: str, nodes: int, ranks: int) -> dict[str, str]:
        """Options of sbatch for one run, by name; what the user gave as `extra` counts."""
        asked = {"nodes": str(nodes), "ntasks-per-node": "1", "cpus-per-task": str(ranks), "time": str(self.minutes)}
        if device == "cuda":
            asked["gpus-per-node"] = str(ranks)
        named = {"partition": self.partition, "account": self.account, "qos": self.qos}
        return {**asked, **{key: value for key, value in named.items() if value}, **dict(self.extra)}


@dataclass
class SlurmChild:
    """A run's job as its launcher sees it."""

    machine: "SlurmExecutor"
    folder: RunFolder
    until: int | None
    job: str = ""
    """Empty until it is submitted."""
    since: int = 0
    """How often the queue had answered when it was."""
    refused: str = ""
    """What sbatch said instead of taking it."""
    end: str = ""
    """How Slurm says that it ended."""
    ended: int = 0
    """How often the queue had answered by then."""
    detached: bool = False

    def poll(self) -> int | None:
        if self.detached:
            return STOPPED
        if self.refused:
            return FAILED
        queue = self.machine.queue
        state = queue.state(self.job, self.since) if self.job else "PENDING"
        if state not in (*ENDED, GONE):
            self.end = ""
            return None
        if not self.end:
            self.end, self.ended = queue.last_state(self.job) if state == GONE else state, queue.looks
        if done(self.folder, self.until):
            return 0
        if self.folder.error():
            return FAILED
        if queue.looks < self.ended + SETTLE or claimed(self.folder):
            return None
        return -signal.SIGKILL

    def signal(self, number: int) -> None:
        """A job is cancelled rather than killed; asked to stop, it is left alone, unless nobody wants it any more."""
        asked = number != signal.SIGKILL
        self.detached = self.detached or asked
        if self.job and not self.end and (self.machine.abandoned or not asked):
            command("scancel", self.job)

    def disown(self) -> None:
        """A job waits for nobody."""


@dataclass
class SlurmExecutor(Executor):
    """Nodes of a cluster that see the same files as this one."""

    slot: Slot
    store: Path
    options: SlurmOptions
    device: str = "cpu"
    nodes: int = 1
    waiting: list[tuple[SlurmChild, int]] = field(default_factory=list)
    """Not submitted yet, each with its claim: another launcher must not submit it meanwhile."""
    submitted: list[str] = field(default_factory=list)
    abandoned: bool = False
    """Whether its jobs are to be cancelled when the launcher stops."""

    def __post_init__(self) -> None:
        check_commands()
        self.pool = None
        self.queue = Queue(self.options.poll_seconds)
        self.queue.refresh()

    @property
    def logs(self) -> Path:
        return (self.store / "slurm").resolve()

    def attached(self, folder: RunFolder, until: int | None) -> Claim | None:
        """The run's job has the claim, but this launcher waits for it as for its own."""
        return Claim(NOT_HELD) if job_until(folder, until, self.queue) else None

    def begin(self, slot: Slot, folder: RunFolder, until: int | None, held: Claim) -> Child:
        """Attach to the run's job if there is one, else keep it for the next array."""
        child = SlurmChild(self, folder, until, job_until(folder, until, self.queue), self.queue.looks)
        if child.job:
            self.submitted.append(child.job)
        else:
            self.waiting.append((child, os.dup(held.descriptor)))
        return child

    def sleep(self, seconds: float) -> None:
        """Submit what has come together, then wait; a cluster is not watched by the millisecond."""
        while self.waiting:
            batch, self.waiting = self.waiting[:LARGEST_ARRAY], self.waiting[LARGEST_ARRAY:]
            if not self.abandoned:
                self.submit([child for child, _ in batch])
            for _, held in batch:
                os.close(held)
        super().sleep(max(seconds, min(1.0, self.options.poll_seconds)))

    def submit(self, batch: Sequence[SlurmChild]) -> None:
        """One array. If Slurm refuses it, its runs have failed."""
        import submitit

        executor = submitit.SlurmExecutor(self.logs, max_num_timeout=TIMEOUTS)
        executor.update_parameters(**self.parameters(len(batch)))
        try:
            with executor.batch():
                jobs = [
                    executor.submit(Execute(each.folder.path.resolve(), each.until, self.slot.ranks)) for each in batch
                ]
        except submitit.core.utils.FailedJobError as error:
            for child in batch:
                child.refused = f"Slurm refuses the jobs: {refusal(str(error))}"
            return
        for child, job in zip(batch, jobs, strict=True):
            child.job, child.since = job.job_id, self.queue.looks
            self.submitted.append(child.job)
            note_job(child.folder, child.job, child.until)

    def parameters(self, jobs: int) -> dict[str, Any]:
        """For submitit, which names its own `time` and the rest as sbatch does."""
        asked = self.options.request(self.device, self.nodes, self.slot.ranks)
        return {
            "job_name": f"coregpt-{self.store.resolve().name}",
            "time": self.options.minutes,
            "signal_delay_s": SIGNAL_SECONDS,
            "array_parallelism": jobs,
            "stderr_to_stdout": True,
            # A step does not inherit the job's CPUs.
            "srun_args": [f"--cpus-per-task={asked['cpus-per-task']}"],
            "additional_parameters": {**asked, "requeue": True},
        }

    def queued(self, child: Child) -> bool:
        if not isinstance(child, SlurmChild):
            return False
        return not child.job or self.queue.states.get(child.job, "PENDING") in WAITING

    def meaning(self, child: Child, code: int) -> str:
        if not isinstance(child, SlurmChild) or not (child.end or child.refused):
            return meaning(code)
        if child.refused:
            return child.refused
        logs = [self.logs / f"{child.job}{end}" for end in ("_0_log.out", ".log")]  # submitit's, an emitted script's
        log = next(filter(Path.exists, logs), logs[0])
        last = log.read_text(errors="replace").rstrip().rpartition("\n")[2] if log.exists() else "no log"
        return f"job {child.job} is {child.end}: {last} ({log})"

    def abandon(self) -> None:
        self.abandoned = True

    def farewell(self) -> str:
        if self.abandoned:
            return "the study's other jobs are cancelled; those that ran leave checkpoints"
        arrays = " ".join(dict.fromkeys(job.partition("_")[0] for job in self.submitted))
        cancel = f"; to cancel them: scancel {arrays}" if arrays else ""
        return f"jobs go on in Slurm, and the same command attaches to them{cancel}"


def cluster(
    options: SlurmOptions, store: Path, device: str, gpus_per_run: int, runs: int
) -> tuple[list[Slot], SlurmExecutor]:
    """A slot for each run that may be in the queue at once. Raises ConfigError without Slurm or submitit."""
    nodes, ranks = options.layout(device, gpus_per_run)
    slot = Slot((), ranks)
    machine = SlurmExecutor(slot, store, options, device, nodes)
    return [slot] * min(runs, options.max_jobs or runs), machine


def refuse_unless_submittable(
    options: SlurmOptions, store: Path, device: str, gpus_per_run: int, runs: Sequence[str]
) -> None:
    """Raises ConfigError if Slurm is not here or would not take the jobs of these runs. Nothing is written."""
    _, machine = cluster(options, store, device, gpus_per_run, 1)
    known = store.is_dir()
    jobs = sum(not (known and job_of(RunFolder(store / run), machine.queue)) for run in runs)
    if jobs:
        asked = options.request(device, machine.nodes, machine.slot.ranks)
        refuse_what_slurm_refuses(asked, min(jobs, options.max_jobs or jobs, LARGEST_ARRAY))
