"""A process beside this one and the line between them: one JSON object a line, both ways.

On Linux it is a fork, which costs milliseconds and holds all that was imported so far and nothing else; elsewhere it is
a program of its own. It ends with the process that began it.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

CAN_FORK = sys.platform == "linux"
DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG."""
MOST_FILES = 65_536
Message = dict[str, Any]


class Line:
    """One end of the line."""

    def __init__(self, end: socket.socket):
        self.end, self.rest = end, b""

    def send(self, **message: Any) -> None:
        """Raises OSError where nobody listens any more."""
        self.end.sendall(json.dumps(message).encode() + b"\n")

    def hand(self, descriptor: int, **message: Any) -> None:
        """A message with an open file, for a fork that was there before the file. Raises OSError as `send` does."""
        socket.send_fds(self.end, [json.dumps(message).encode() + b"\n"], [descriptor])

    def take(self) -> tuple[Message | None, int]:
        """What was handed over, and the file, which is -1 where there is none."""
        raw, files, *_ = socket.recv_fds(self.end, 65536, 1)
        self.rest += raw
        return (self.receive() if raw else None), (files[0] if files else -1)

    def receive(self) -> Message | None:
        """The next message; None once the other side is gone."""
        while b"\n" not in self.rest:
            try:
                raw = self.end.recv(65536)
            except OSError:
                return None
            if not raw:
                return None
            self.rest += raw
        line, _, self.rest = self.rest.partition(b"\n")
        found: Message = json.loads(line)
        return found


@dataclass
class SideProcess:
    """As its parent sees it."""

    line: Line
    pid: int
    program: "subprocess.Popen[bytes] | None" = None

    def close(self) -> None:
        """Hang up and wait for its end, which hanging up brings about."""
        self.line.end.close()
        if self.program is not None:
            self.program.wait()
        else:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)


def forks(device: str) -> bool:
    """Whether a process beside a run on that device is a fork: CUDA cannot be used in one once it was looked at."""
    return CAN_FORK and device == "cpu"


def forked(serve: Callable[[Line], None], keep: Iterable[int] = ()) -> SideProcess:
    """A fork that calls `serve` and ends; of its parent's files it has only `keep` open, and it cleans up nothing."""
    ours, theirs = socket.socketpair()
    _flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return SideProcess(Line(ours), pid)
    code = 1
    try:
        ours.close()
        # The claim on the run among them: it must be free as soon as the one that trains is gone.
        first = 3
        for kept in sorted({theirs.fileno(), *keep}):
            os.closerange(first, kept)
            first = kept + 1
        os.closerange(first, MOST_FILES)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever began it decides when it ends
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            serve(Line(theirs))
            code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    """What was said so far, or both processes would say it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as where the program began with it closed
            with contextlib.suppress(OSError, ValueError):
                stream.flush()


def started(module: str, *words: str) -> SideProcess:
    """`python -m MODULE FD WORDS`, its end of the line being the file descriptor FD."""
    ours, theirs = socket.socketpair()
    with theirs:
        program = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), *words],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
    return SideProcess(Line(ours), program.pid, program)
