"""A program with all its descendants: started, watched, and killed to the last one, daemons included.

The worker is made the one that orphans are given to (Linux), so a process that leaves the program's group and session
is still found below it. A worker that is killed takes the program along; what that leaves is killed at the next start.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coregpt.lab.atomic import read_json, write_json

SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36
"""Of Linux's prctl."""
GRACE_SECONDS = 5.0
"""Between the request to end and the kill."""
LEFT = "process.json"
"""In a run's folder while its program runs: what to kill if the worker could not."""
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


@dataclass
class Program:
    """A running command. Its output is at `output`, which does not block."""

    process: "subprocess.Popen[bytes]"
    run: Path
    begun: float
    others: frozenset[int] = frozenset()
    """Processes that were there before it."""

    @property
    def output(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def end(self) -> int:
        """Ask it to end, then kill it and all that it started; its exit code. Nothing of it lives afterwards."""
        alive = self.process.poll() is None
        if alive:
            _signal_group(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE_SECONDS)
        _signal_group(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        sweep(self.others)
        if self.process.stdout:
            self.process.stdout.close()
        (self.run / LEFT).unlink(missing_ok=True)
        return code


def start(command: str, folder: Path, variables: Mapping[str, str], run: Path) -> Program:
    """Call a command by the shell in `folder`, in a session of its own."""
    _prctl(SET_CHILD_SUBREAPER, 1)
    others = frozenset(descendants(os.getpid()))

    follow = follower()
    process = subprocess.Popen(
        [*(follow or ()), "/bin/sh", "-c", command],
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_follow if follow is None else None,
    )
    begun = time.monotonic()
    write_json(run / LEFT, {"pid": process.pid, "since": _since(process.pid)})
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    return Program(process, run, begun, others)


def follower() -> tuple[str, ...] | None:
    """Words before a command that make it end with this process, where the kernel and a tool are there to do so; None
    where it has to be asked between fork and exec, which costs a copy of all that a worker has mapped: 0.1 s."""
    if _LIBC is None:
        return ()
    tool = shutil.which("setpriv")
    words = (tool, "--pdeathsig", "KILL") if tool else ()
    able = tool and not subprocess.run([*words, "true"], capture_output=True, check=False).returncode  # from 2018 on
    return words if able else None


def _follow() -> None:
    _prctl(SET_PDEATHSIG, signal.SIGKILL)


def end_left(run: Path) -> None:
    """Kill what a killed worker left running of this run."""
    left = read_json(run / LEFT)
    if left and left["since"] and _group_lives(int(left["pid"]), str(left["since"])):
        _signal_group(int(left["pid"]), signal.SIGKILL)
    (run / LEFT).unlink(missing_ok=True)


def sweep(others: frozenset[int]) -> None:
    """Kill and reap every process below this one but `others`: what a program left, wherever it hid."""
    for _ in range(100):
        below = [pid for pid in descendants(os.getpid()) if pid not in others]
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in below:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not below:
            return
        time.sleep(0.02)


def descendants(root: int) -> list[int]:
    """Processes below one; none where /proc is not there to tell."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
                children.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(name))
    found = [root]
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found[1:]


def resident() -> int:
    """Bytes of memory that all processes below this one have now; what they share counts for each."""
    pages = 0
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError, IndexError, ValueError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _since(pid: int) -> str:
    """When a process began, in ticks since the machine did: with its number it is one process only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _group_lives(pid: int, since: str) -> bool:
    """Whether the group is still that of the process that began then: its leader, or, once that is gone, a session
    whose number no other process has taken."""
    if Path(f"/proc/{pid}").exists():
        return _since(pid) == since
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            if int(path.read_text().rpartition(")")[2].split()[2]) == pid:
                return True
    return False
