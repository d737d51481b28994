"""Python programs without their start-up: one process has imported what programs here import, and is forked.

`Program(words, ...)` is `subprocess.Popen` where the words are `[sys.executable, "-m", MODULE, ...]`: the same pipes,
signals, exit code, environment and working directory, but modules that the warm process holds are not imported again.
Anything else is started the ordinary way. What start-up itself does is tested with real processes. A program of the
command line has a warm process of its own, forked before it has imported anything, for the pools of its launcher.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NoReturn

AHEAD = (
    "coregpt.lab.execute.worker",
    "coregpt.lab.laws.foreign",
    "coregpt.cli.studies.ablate",
    "coregpt.lab.planning.plans",
    "coregpt.report.analysis.collect",
    "torch._dynamo",
    "torch._subclasses.fake_tensor",
    "torch.utils.flop_counter",
)

COMMAND_LINE = "coregpt.cli"
ABOVE = 1000
"""Descriptors from here on are used for a moment only."""


class Program(subprocess.Popen[Any]):
    """A program that is forked where `subprocess.Popen` would start one. Linux only, and no `preexec_fn`."""

    status = -1
    """The file descriptor that the warm process tells the exit code through; -1 if it did not start this one."""

    def _execute_child(self, args: Any, *given: Any) -> None:
        words = list(args) if isinstance(args, Sequence) and not isinstance(args, str) else []
        if words[:2] != [sys.executable, "-m"]:
            super()._execute_child(args, *given)  # type: ignore[misc]
            return
        _, _, _, pass_fds, cwd, env, _, _, _, *pipes = given
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, _, _, _, _, _, new_session = pipes[:12]
        self.status, theirs = os.pipe()
        standard = [own if fd == -1 else fd for own, fd in enumerate((p2cread, c2pwrite, errwrite))]
        request = {
            "words": [str(word) for word in words[2:]],
            "cwd": str(cwd or os.getcwd()),
            "environment": dict(os.environ if env is None else env),
            "session": new_session,
            "fds": list(pass_fds),
        }
        self.pid = _warm().fork(request, [theirs, *standard, *pass_fds])
        self._child_created = True
        os.close(theirs)
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """The pid and status that waitpid would give; (0, 0) while it runs, if not waited for."""
        if self.status < 0:
            return super()._try_wait(wait_flags)  # type: ignore[misc, no-any-return]
        with selectors.DefaultSelector() as selector:
            selector.register(self.status, selectors.EVENT_READ)
            if not selector.select(0 if wait_flags & os.WNOHANG else None):
                return 0, 0
        told = os.read(self.status, 64)
        os.close(self.status)
        self.status = -1
        return self.pid, int(told or b"9")

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if self.status < 0:
            return super()._internal_poll(*given, **named)  # type: ignore[misc, no-any-return]
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def run(words: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` of such a program, with what it said as text."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with Program(words, stdin=subprocess.DEVNULL, text=True, **pipes) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def patch(set_attribute: Callable[[Any, str, Any], None]) -> None:
    """Processes that launchers start here are forks from now on."""
    from coregpt.lab.execute import pool
    from coregpt.lab.laws import foreign

    started = SimpleNamespace(Popen=Program, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)
    for module in (pool, foreign):
        set_attribute(module, "subprocess", started)


@dataclass
class _Warm:
    """The process that is forked, as its user sees it. It ends with its user."""

    line: socket.socket
    process: subprocess.Popen[bytes] | None = None
    """None where it is a fork of its user, of whom nobody waits for it."""
    pid: int = 0

    @classmethod
    def started(cls) -> "_Warm":
        line, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                start_new_session=True,
            )
        made = cls(line, process)
        atexit.register(made.close)
        return made

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        raw = json.dumps(request).encode()
        socket.send_fds(self.line, [len(raw).to_bytes(4, "big")], descriptors)
        self.line.sendall(raw)
        told = self.line.recv(64)
        if not told:
            raise EOFError("the warm process has ended")
        return int(told)

    def close(self) -> None:
        self.line.close()
        if self.process is not None:
            self.process.wait()


_lent: list[_Warm] = []
"""In a program of the command line, its own."""


def _warm() -> _Warm:
    return _lent[0] if _lent else _first()


@functools.cache
def _first() -> _Warm:
    return _Warm.started()


# -- the warm process itself -----------------------------------------------------------------------------------


def serve(line: socket.socket) -> None:
    from coregpt.lab.study.identity import parse_ahead

    for name in AHEAD:
        __import__(name)
    parse_ahead()
    gc.collect()
    gc.freeze()
    serve_forks(line)


def serve_forks(line: socket.socket) -> None:
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is line:
                    size, descriptors, *_ = socket.recv_fds(line, 4, 16)
                    if not size:
                        return
                    raw = b""
                    while len(raw) < int.from_bytes(size, "big"):
                        raw += line.recv(65536)
                    pid = os.fork()
                    if not pid:
                        become(json.loads(raw), descriptors[1:])
                    running[pid] = descriptors[0]
                    for descriptor in descriptors[1:]:
                        os.close(descriptor)
                    line.sendall(str(pid).encode())
                else:
                    os.read(woken, 4096)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    told = running.pop(pid)
                    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
                        os.write(told, str(status).encode())
                    os.close(told)


def become(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """The forked process turns into the program."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if request["session"]:
            os.setsid()
        lifted = [fcntl.fcntl(fd, fcntl.F_DUPFD, ABOVE) for fd in descriptors]
        os.closerange(3, ABOVE)
        for fd, number in zip(lifted, (0, 1, 2, *request["fds"]), strict=True):
            os.dup2(fd, number)
            os.close(fd)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        sys.path[0] = request["cwd"]
        module, *arguments = request["words"]
        if module == COMMAND_LINE:
            _lent.append(lend())
            patch(setattr)
        sys.argv = [module, *arguments]
        if (held := sys.modules.get(module)) and not hasattr(held, "__path__"):
            del sys.modules[module]  # as in a process that has not imported what it runs
        code = executed(module)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def lend() -> _Warm:
    """A fork of this process as it is, to be forked in turn: it hears no signal of the program and holds no file."""
    ours, theirs = socket.socketpair()
    if pid := os.fork():
        theirs.close()
        return _Warm(ours, pid=pid)
    try:
        os.setsid()
        line = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD, ABOVE)
        for end in (ours, theirs):
            end.detach()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        os.closerange(3, ABOVE)
        os.dup2(line, 3)  # low, where what it forks closes it
        os.close(line)
        serve_forks(socket.socket(fileno=3))
    finally:
        os._exit(0)


def executed(module: str) -> int:
    """The exit code of `python -m module`."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)
