"""Worker processes without their start-up: one process imports torch, and every run is a fork of it.

Importing torch takes longer than some runs. A fork starts in milliseconds and is as separate from other runs as a
process of its own: own memory, own signals, own log. Linux only; elsewhere, and for runs on several ranks, a worker
is started the ordinary way (`spawn`).
"""

import contextlib
import gc
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coregpt.lab.execute.children import Child, spawn
from coregpt.lab.execute.slots import Slot

CAN_FORK = sys.platform == "linux"


@dataclass
class Forked:
    """A worker forked by a pool."""

    pool: "Pool"
    parent: "subprocess.Popen[bytes]"
    pid: int
    stdin: int

    def poll(self) -> int | None:
        self.pool.hear()
        if self.pid in self.pool.ended:
            return self.pool.ended[self.pid]
        if self.pool.alive and self.pool.process is self.parent:
            return None
        # Whoever forked it is gone, and with it the exit code; what is on disk says how the run ended.
        return None if _lives(self.pid) else 0

    def signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def disown(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1


@dataclass
class Pool:
    """The forking process as its launcher sees it. It ends with the launcher; its forks see that by themselves."""

    slot: Slot
    program: tuple[str, ...] = ("-m", "coregpt.lab.execute.pool")
    """What Python executes to serve, the file descriptor of its end of the line as the last argument."""
    alive: bool = False
    ended: dict[int, int] = field(default_factory=dict)

    def start(self, slot: Slot, run_dir: Path, until: int | None, log: Path, claim: int) -> Child:
        """Fork a worker; a pool that has died is replaced, and if that does not help the worker is spawned."""
        for _ in range(2):
            try:
                if not self.alive:
                    self.open()
                return self.fork(slot, run_dir, until, log, claim)
            except (OSError, EOFError):
                self.alive = False
        return spawn(slot, run_dir, until, log, claim)

    def open(self) -> None:
        self.line, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env=self.slot.variables(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.alive, self.unused, self.rest = True, True, b""

    def fork(self, slot: Slot, run_dir: Path, until: int | None, log: Path, claim: int) -> Forked:
        arguments = [str(run_dir), "--launched", *(["--until", str(until)] if until is not None else [])]
        request = {"arguments": arguments, "environment": dict(slot.environment)}
        self.unused = False
        with contextlib.ExitStack() as passed, contextlib.ExitStack() as kept:
            theirs, ours = os.pipe()
            passed.callback(os.close, theirs)
            kept.callback(os.close, ours)
            out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            passed.callback(os.close, out)
            socket.send_fds(self.line, [json.dumps(request).encode() + b"\n"], [theirs, out, claim])
            while True:
                for kind, pid in self.receive():
                    if kind == "started":
                        kept.pop_all()
                        return Forked(self, self.process, pid, ours)

    def hear(self) -> None:
        """Take in which forks have ended, without waiting."""
        if not self.alive:
            return
        waiting = select.poll()  # asked for every run many times a second: a selector costs four calls of the system
        waiting.register(self.line, select.POLLIN)
        while self.alive and waiting.poll(0):
            try:
                self.receive()
            except (OSError, EOFError):
                self.alive = False

    def receive(self) -> list[tuple[str, int]]:
        """Wait for news; (kind, pid) of each. Raises EOFError if the pool is gone."""
        raw = self.line.recv(65536)
        if not raw:
            raise EOFError
        *lines, self.rest = (self.rest + raw).split(b"\n")
        news = [json.loads(line) for line in lines]
        for kind, pid, *code in news:
            if kind == "ended":
                self.ended[pid] = code[0]
            else:
                self.ended.pop(pid, None)
        return [(kind, pid) for kind, pid, *_ in news]

    def close(self) -> None:
        """Let the forking process go; running forks are not touched."""
        if self.alive:
            self.line.close()
            if self.unused:  # it may still be importing, and would not hear
                self.process.kill()
            self.process.wait()
            self.alive = False


@contextlib.contextmanager
def warming(wanted: bool) -> Iterator[Pool | None]:
    """A pool that gets ready while its user does something else; None where it could not serve."""
    pool = Pool(Slot(())) if wanted and CAN_FORK else None
    try:
        if pool:
            pool.open()
        yield pool
    finally:
        if pool:
            pool.close()


def _lives(pid: int) -> bool:
    """Whether a process that is not our child runs; a zombie, which nobody may ever collect, does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


# -- the forking process itself --------------------------------------------------------------------------------


def serve(line: socket.socket) -> None:
    """Fork a worker for each request, and tell how each ended, until the launcher hangs up."""
    import coregpt.lab.execute.worker  # noqa: F401  what makes forks quick
    from coregpt.lab.study.identity import parse_ahead

    parse_ahead()
    gc.collect()
    gc.freeze()  # or the first collection in a fork would write into every object, and copy the memory of all of them
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    # A launcher that is killed hangs up without having read everything, or while it is told something.
    gone = contextlib.suppress(ConnectionResetError, BrokenPipeError)
    with gone, selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is line:
                    message, descriptors, *_ = socket.recv_fds(line, 65536, 3)
                    if not message:
                        return
                    pid = fork(json.loads(message), descriptors, [line.fileno(), woken, wake])
                    tell(line, "started", pid)
                else:
                    os.read(woken, 4096)
            for pid, code in reaped():
                tell(line, "ended", pid, code)


def tell(line: socket.socket, *news: Any) -> None:
    line.sendall(json.dumps(news).encode() + b"\n")


def reaped() -> list[tuple[int, int]]:
    """Pid and exit code of every fork that has ended since the last call."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found.append((pid, os.waitstatus_to_exitcode(status)))


def fork(request: dict[str, Any], descriptors: Sequence[int], private: Sequence[int]) -> int:
    """The parent gets the child's pid; the child becomes a worker and never returns."""
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        stdin, out, _claim = descriptors
        for target, descriptor in ((0, stdin), (1, out), (2, out)):
            os.dup2(descriptor, target)
        for descriptor in (*private, stdin, out):
            os.close(descriptor)
        os.environ.update(request["environment"])
        from coregpt.lab.execute.worker import main

        code = main(request["arguments"], dedicated=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def open_standard_streams() -> None:
    """Where the launcher began without them: or the first files that are opened would be taken for them."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115 - until the process ends


if __name__ == "__main__":
    open_standard_streams()
    serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)  # at once: whoever hung up waits, and taking torch down needs a second
