"""What Slurm says of jobs: by squeue, which every site has, and by sacct where the site keeps accounts."""

import os
import subprocess
import time

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
        self.looks = 0
        """How often Slurm has answered."""
        self.asked = float("-inf")

    def refresh(self, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self.asked < self.refresh_seconds:
            return
        self.asked = time.monotonic()
        user = f"--user={os.getuid()}"
        answer = command("squeue", user, "--array", "--states=all", "--noheader", "--format=%i|%T")
        if answer is not None:  # else the controller is away: what was true last is all that is known
            self.states, self.looks = parse_states(answer), self.looks + 1

    def state(self, job: str, since: int) -> str:
        """A job's state; GONE if Slurm forgot it; PENDING as long as it has not answered `since` that look."""
        self.refresh()
        return self.states.get(job, GONE if self.looks > since else "PENDING")

    def last_state(self, job: str) -> str:
        """How a job ended that the queue shows no more, where the site keeps accounts."""
        answer = command("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID,State", f"--jobs={job}")
        return parse_states(answer or "").get(job, GONE)


def parse_states(answer: str) -> dict[str, str]:
    """State by job id, of lines `12_3|RUNNING`; `CANCELLED by 1000` is cancelled."""
    rows = (line.split("|") for line in answer.splitlines() if "|" in line)
    return {job.strip(): state.split()[0] for job, state in rows if state.strip()}


def command(*words: str) -> str | None:
    """Output of a command of Slurm; None if it failed."""
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
