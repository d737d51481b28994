"""One run while it executes, and what its end means."""

import os
import signal
from dataclasses import dataclass, field

from coregpt.lab.designs.design import Task
from coregpt.lab.execute.children import Child
from coregpt.lab.execute.eta import Moving
from coregpt.lab.execute.slots import Slot
from coregpt.lab.execute.worker import STOPPED
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.kind import UNCOUNTED
from coregpt.lab.study.outline import PlannedRun


@dataclass(frozen=True)
class Policy:
    """How a launcher meets trouble."""

    retries: int = 2
    """How often one call starts a run again that was ended from outside: by a signal, or for being stuck."""
    fail_fast: bool = False
    """Stop at the first run that fails; otherwise the others go on."""
    hang_seconds: float = 1800.0
    """A run that writes nothing for so long is taken to be stuck."""
    until: float | None = None
    """On the launcher's clock: nothing is started that would hardly have ended by then, and what still runs is stopped
    there; None where there is no hurry."""
    watch_seconds: float = 0.5
    """Between two looks at what executing runs have written."""


@dataclass(eq=False)
class Job:
    """A run that is executing."""

    task: Task
    folder: RunFolder
    process: Child
    slot: Slot
    steps: int
    begun: float
    """On the launcher's clock, in seconds, as is `heard`: when the run last wrote something."""
    offset: float = 0.0
    """Share of the run that an earlier process had done, or its trunk."""
    end: float = 1.0
    """Share of the run at which the task ends."""
    moved: tuple[float, float] | None = None
    """When it was first seen to have trained, and the share that it had then."""
    last: dict[str, float] = field(default_factory=dict)
    heard: float = 0.0
    written: int = -1
    stuck: bool = False
    over: str = ""
    """Why it was ended: it had trained longer than the study allows."""

    @property
    def run(self) -> PlannedRun:
        return self.task.run

    def share(self) -> float:
        return 0.0 if self.steps == UNCOUNTED else self.last.get("step", 0) / self.steps

    def refresh(self) -> None:
        """Look at the newest complete line of the metrics."""
        self.last.update(self.folder.newest())

    def watch(self, now: float) -> float:
        """Refresh; returns for how many seconds the run has written nothing."""
        written = sum(_size(path) for path in (self.folder.metrics, self.folder.log))
        if written != self.written:
            self.written, self.heard = written, now
            self.refresh()
            if self.moved is None and self.share() > self.offset:
                self.moved = now, self.share()
        return now - self.heard

    def moving(self, now: float, flops: float, *, ended: bool = False) -> Moving:
        """How fast it goes, a whole run being `flops`. Its start counts only if nothing else was seen of it."""
        at = self.end if ended else max(self.share(), self.offset)
        since, share = self.moved or (self.begun if ended else now, self.offset)
        return Moving(max(0.0, self.end - at) * flops, max(0.0, at - share) * flops, now - since)

    def ended_from_outside(self, code: int) -> bool:
        """Whether trying again makes sense: nothing in the run itself went wrong, as far as anybody knows.

        Only a run with a result exits with 0, so without one nobody knows the true code (see `Forked.poll`).
        """
        return self.stuck or (self.folder.error() is None and (code <= 0 or code == STOPPED))


def name(run: PlannedRun) -> str:
    return f"{run.arm} seed {run.seed}"


def meaning(code: int) -> str:
    """What an exit code without an error.json means."""
    if code == STOPPED:
        return "the process was asked to stop and left a checkpoint; the next call goes on from there"
    if code == 0:
        return "the process ended, and so did the one that could say how"
    if code < 0:
        killed = signal.Signals(-code).name
        return f"the process was ended by {killed}" + (" (out of memory?)" if killed == "SIGKILL" else "")
    return f"the process ended with exit code {code} before it could say why"


def _size(path: "os.PathLike[str]") -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
