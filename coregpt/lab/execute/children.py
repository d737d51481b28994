"""Worker processes as their launcher sees them, and the ordinary way to start one."""

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from coregpt.lab.execute.slots import Slot


class Child(Protocol):
    """A worker that executes one run. Closing its standard input tells it that nobody waits for it any more."""

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it lives."""

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""

    def disown(self) -> None:
        """Close its standard input."""


@dataclass
class Spawned:
    """A worker started as a program."""

    process: "subprocess.Popen[bytes]"

    def poll(self) -> int | None:
        return self.process.poll()

    def signal(self, number: int) -> None:
        """SIGKILL reaches the ranks too: torchrun, once killed, cannot end them."""
        if self.process.poll() is None:
            for pid in _tree(self.process.pid) if number == signal.SIGKILL else [self.process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def disown(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()


def spawn(slot: Slot, run_dir: Path, until: int | None, log: Path, claim: int) -> Spawned:
    """Start a worker as a program of its own; it inherits the file descriptor `claim`."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            slot.command(run_dir, until),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=slot.variables(),
            pass_fds=(claim,),
            start_new_session=True,
        )
    return Spawned(process)


def _tree(root: int) -> list[int]:
    """A process and its descendants; itself alone where /proc is not there to tell."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = [root]
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found
