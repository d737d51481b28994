"""Runs that another launcher has: what becomes of a worker that hangs when its launcher is dead.

A launcher ends what hangs, and a worker that loses its launcher ends itself. One that hangs and loses its launcher does
neither, and would hold its run for good.
"""

import contextlib
import os
import platform
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

from coregpt.lab.progress import duration
from coregpt.lab.records.claims import holder
from coregpt.lab.records.store import RunFolder


@dataclass
class Strangers:
    """When each run that others hold was last heard of, on the launcher's clock in seconds."""

    hang_seconds: float
    heard: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By run id: bytes written, and when that number was new."""

    def ended(self, folder: RunFolder, now: float) -> str:
        """Kill the workers of a run if it wrote nothing for too long and its launcher, of this machine, is dead.

        Returns what happened in words, "" if nothing did.
        """
        written = sum(path.stat().st_size for path in (folder.metrics, folder.log) if path.exists())
        before, since = self.heard.get(folder.id, (-1, now))
        if written != before:
            self.heard[folder.id] = written, now
            return ""
        if now - since <= self.hang_seconds or not orphaned(folder):
            return ""
        for pid in holding(folder):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return f"its launcher is gone and it wrote nothing for {duration(self.hang_seconds)}, so it was ended"


def orphaned(folder: RunFolder) -> bool:
    """Whether a process of this machine claimed the run and lives no more; False wherever that cannot be known.

    A zombie, which nobody may ever collect, does not live.
    """
    said = re.fullmatch(r"process (\d+) on (.*)", holder(folder))
    if said is None or said[2] != platform.node():
        return False
    try:
        stat = Path(f"/proc/{said[1]}/stat").read_text()
    except OSError:
        return Path("/proc/self/stat").exists()
    return stat.rpartition(")")[2].split()[0] == "Z"


def holding(folder: RunFolder) -> set[int]:
    """Processes here that have the claim on a run open; none where /proc is not there to tell."""
    name, found = str(folder.path / "claim"), set[int]()
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(path) == name:
                found.add(int(path.parts[2]))
    return found
