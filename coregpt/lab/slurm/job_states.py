"""What Slurm says of jobs: by squeue, which every site has, and by sacct where the site keeps accounts."""

import os
import subprocess
import time

from coregpt.contract.errors import RunError

WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "CONFIGURING")
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
)
GONE = "no longer known to Slurm"


class Queue:
    """What Slurm says of this user's jobs: the same answer until `refresh_seconds` have passed."""

    def __init__(self, refresh_seconds: float):
        self.refresh_seconds = refresh_seconds
        self.states: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.looks = 0
        """How often Slurm has answered."""
        self.asked = float("-inf")

    def refresh(self, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self.asked < self.refresh_seconds:
            return
        self.asked = time.monotonic()
        user = f"--user={os.getuid()}"
        answer = command("squeue", user, "--array", "--states=all", "--noheader", "--format=%i|%T|%j")
        if answer is not None:  # else the controller is away: what was true last is all that is known
            self.states, self.looks = parse_states(answer), self.looks + 1
            self.names = parse_names(answer)

    def state(self, job: str, since: int) -> str:
        """A job's state; GONE if Slurm forgot it; PENDING as long as it has not answered `since` that look."""
        self.refresh()
        return self.states.get(job, GONE if self.looks > since else "PENDING")

    def alive(self, job: str) -> bool:
        return self.states.get(job, GONE) not in (*ENDED, GONE)

    def task(self, name: str, number: int) -> str:
        """The job that is task `number` of the array called `name`, and not at its end; or ""."""
        found = (job for job, its in self.names.items() if its == name and job.endswith(f"_{number}"))
        return next(filter(self.alive, found), "")

    def last_state(self, job: str) -> str:
        """How a job ended that the queue shows no more, where the site keeps accounts."""
        answer = command("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID,State", f"--jobs={job}")
        return parse_states(answer or "").get(job, GONE)


def parse_states(answer: str) -> dict[str, str]:
    """State by job id, of lines `12_3|RUNNING|name`; `CANCELLED by 1000` is cancelled."""
    return {job: state.split()[0] for job, state, *_ in _rows(answer) if state}


def parse_names(answer: str) -> dict[str, str]:
    """Name by job id, of the same lines."""
    return {row[0]: row[2] for row in _rows(answer) if len(row) > 2}


def own_job() -> str:
    """The job that this process is part of, "" outside of Slurm. One task of an array has the id of the whole array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "")


def requeue() -> None:
    """Put the job of this process back into the queue, unless Slurm has decided already what becomes of it.

    Raises RunError if Slurm does not take it back.
    """
    job = own_job()
    shown = command("scontrol", "show", "job", "--oneliner", job) if job else None
    # Whoever cancels a job, or requeues it, has changed its state before its processes are asked to stop.
    if shown is None or "JobState=RUNNING " not in shown:
        return
    if command("scontrol", "requeue", job) is None:
        raise RunError(f"asked to stop, and `scontrol requeue {job}` failed: the job ends here")


def _rows(answer: str) -> list[list[str]]:
    return [[part.strip() for part in line.split("|", 2)] for line in answer.splitlines() if "|" in line]


def command(*words: str) -> str | None:
    """Output of a command of Slurm; None if it failed."""
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
