"""One run inside a Slurm job: started there by submitit, or by the script that `coregpt plan --emit sbatch` writes.

The run's workers are children of this process. It claims the run for them, passes on the request to stop, and leaves
the rest to files in the run folder, which whoever waits on the login node reads.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coregpt.contract.errors import RunError
from coregpt.lab.execute.children import Spawned, spawn
from coregpt.lab.execute.slots import Slot
from coregpt.lab.records.claims import Claim, claim, holder
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.job_states import requeue

CLAIM_SECONDS = 30.0
"""How long to wait for a claim: an earlier attempt may be ending, a launcher may be looking."""
CHECKPOINT_SECONDS = 75.0
"""How long a worker may take to write its checkpoint; Slurm warns SIGNAL_SECONDS before it ends a job."""
SIGNAL_SECONDS = 90
IDLE_STARTS = 3
"""After so many jobs in a row that were ended before they had taken a step, the run is not requeued again."""
FIRST_PORT, PORTS = 20_000, 10_000


@dataclass(frozen=True)
class Share(Slot):
    """One node's part of a run on several nodes."""

    group: tuple[str, ...] = ()
    """How torchrun finds the other nodes."""

    def command(self, run_dir: Path, until: int | None = None) -> list[str]:
        python, *worker = Slot(()).command(run_dir, until)
        torchrun = ["-m", "torch.distributed.run", *self.group, f"--nproc-per-node={self.ranks}"]
        return [python, *torchrun, *worker]


@dataclass
class Execute:
    """Execute a run to its end or to step `until`; what submitit pickles, calls, and asks for a checkpoint."""

    run_dir: Path
    until: int | None = None
    ranks: int = 1
    """On each node of the job."""
    step: int = 0
    """Where the run stood when the last job of it was ended."""
    idle: int = 0
    """How many jobs in a row have not moved it."""
    child: Spawned | None = field(default=None, repr=False)
    asked: list[int] = field(default_factory=list, repr=False)
    """Signals that have asked this job to stop."""

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run_dir)

    def __call__(self) -> int:
        """The worker's exit code. Raises RunError where the run folder does not say how it ended: the job has failed.

        Every node of the job calls this; the first one answers for the run. A job that is asked to stop goes back
        into the queue and leaves by SystemExit.
        """
        if self.complete():
            return 0
        first = node() == 0
        signal.signal(signal.SIGTERM, self.stop)
        with_claim = self.claimed() if first else Claim(os.open(os.devnull, os.O_RDONLY))
        log = self.folder.log if first else self.folder.log.with_name(f"log-{node()}.txt")
        with unheard(signal.SIGUSR2):
            self.child = spawn(self.slot(), self.run_dir, self.until, log, with_claim.descriptor)
        with_claim.release()
        if self.asked:  # before there was a worker to pass it on to
            self.child.signal(signal.SIGTERM)
        os.waitid(os.P_PID, self.child.process.pid, os.WEXITED | os.WNOWAIT)
        code = self.child.process.wait()
        if first and not self.complete() and self.folder.error() is None:
            if self.goes_on():
                requeue()
                sys.exit(os.EX_TEMPFAIL)
            raise RunError(f"the worker ended with code {code}; log: {log}\n{self.folder.log_tail()}")
        return code

    def complete(self) -> bool:
        return done(self.folder, self.until)

    def goes_on(self) -> bool:
        """Whether a job asked to stop belongs back in the queue: not if it reached its time limit with nothing."""
        return signal.SIGTERM in self.asked or (bool(self.asked) and self.folder.checkpoint.exists())

    def claimed(self) -> Claim:
        deadline = time.monotonic() + CLAIM_SECONDS
        while (held := claim(self.folder)) is None:
            if time.monotonic() > deadline:
                raise RunError(f"run {self.folder.id} is being run by {holder(self.folder)}")
            time.sleep(1.0)
        return held

    def slot(self) -> Slot:
        nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", "1"))
        if nodes == 1:
            return Slot((), self.ranks)
        # srun runs on the first node; a job's id keeps jobs that share a node apart.
        port = FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % PORTS
        address = os.environ["SLURM_LAUNCH_NODE_IPADDR"]
        group = (f"--nnodes={nodes}", f"--node-rank={node()}", f"--master-addr={address}", f"--master-port={port}")
        return Share((), self.ranks, group)

    def stop(self, number: int, frame: Any) -> None:
        """Pass a request to stop on to the worker, which writes a checkpoint and ends."""
        self.asked.append(number)
        if self.child:
            self.child.signal(signal.SIGTERM)

    def checkpoint(self) -> Any:
        """What goes on with the run in another job: submitit asks when this one is about to be ended.

        None if one job after the other did not get the run to move.
        """
        from submitit.core.utils import DelayedSubmission

        if self.child:
            self.child.signal(signal.SIGTERM)
            self.await_end(self.child)
        step = int(self.folder.newest().get("step", 0))
        idle = 0 if step > self.step else self.idle + 1
        again = replace(self, step=step, idle=idle, child=None, asked=[])
        return None if idle >= IDLE_STARTS else DelayedSubmission(again)

    def await_end(self, child: Spawned) -> None:
        """This interrupts a wait for the same process, so it may look at its end but not take it (WNOWAIT)."""
        deadline = time.monotonic() + CHECKPOINT_SECONDS
        while os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                child.signal(signal.SIGKILL)
            time.sleep(0.1)


@contextlib.contextmanager
def unheard(number: int) -> Iterator[None]:
    """Processes started meanwhile never hear a signal: Slurm sends it to all of a job, this one answers for them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


def done(folder: RunFolder, until: int | None) -> bool:
    return folder.result() is not None or (until is not None and folder.paused() >= until)


def node() -> int:
    """Number of this node within the job."""
    return int(os.environ.get("SLURM_NODEID", "0"))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m coregpt.lab.slurm.remote", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="a folder made by coregpt")
    parser.add_argument("--until", type=int, metavar="STEP", help="pause with a checkpoint after this step")
    parser.add_argument("--ranks", type=int, default=1, metavar="N", help="on each node (1)")
    options = parser.parse_args(argv)
    execute = Execute(options.run_dir.resolve(), options.until, options.ranks)
    signal.signal(signal.SIGUSR2, execute.stop)
    try:
        return execute()
    except RunError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
