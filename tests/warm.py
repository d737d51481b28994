"""Python programs without their start-up: one process has imported what programs here import, and is forked.

`Program(words, ...)` is `subprocess.Popen` where the words are `[sys.executable, "-m", MODULE, ...]`: the same pipes,
signals, exit code, environment and working directory, but modules that the warm process holds are not imported again.
Anything else is started the ordinary way. What start-up itself does is tested with real processes.
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
from collections.abc import Sequence
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


class _Warm:
    """The process that is forked, as its user sees it. It ends with its user."""

    def __init__(self) -> None:
        self.line, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                start_new_session=True,
            )
        atexit.register(self.close)

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
        self.process.wait()


@functools.cache
def _warm() -> _Warm:
    return _Warm()


# -- the warm process itself -----------------------------------------------------------------------------------


def serve(line: socket.socket) -> None:
    from coregpt.lab.study.identity import parse_ahead

    for name in AHEAD:
        __import__(name)
    parse_ahead()
    gc.collect()
    gc.freeze()
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
        sys.argv = [module, *arguments]
        if (held := sys.modules.get(module)) and not hasattr(held, "__path__"):
            del sys.modules[module]  # as in a process that has not imported what it runs
        code = run(module)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def run(module: str) -> int:
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
