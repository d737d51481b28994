"""Files that a process must not open, and processes that it must not begin: what it tries fails, and is remembered.

Python tells its audit hooks of every file that Python code opens, and a hook cannot be taken away again. What opens
files without telling (a library in C) meets the sandbox, where the kernel has one (`landlock.py`).
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from coregpt.contract.errors import PluginError

try:
    import _posixsubprocess
except ImportError:  # Windows has none
    _posixsubprocess = None  # type: ignore[assignment]

DESCRIPTORS = "/proc/self/fd", "/dev/fd"
"""Folders in which a process finds its open files by their numbers, on Linux and on other systems."""
NAMED = {"open": 1, "os.link": 2, "os.rename": 2, "os.symlink": 2, "shutil.copyfile": 2}
"""Events, and how many of their first arguments are paths."""
FORK_EXEC = "_posixsubprocess.fork_exec"
BEGINNING = (
    *(FORK_EXEC, "subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork"),
    *("os.forkpty", "os.startfile"),
)
"""Events of a process that begins: it could open what this one must not, and work where nothing is counted."""


class _Watch:
    """Of this process; one hook serves all its runs."""

    hooked = False
    forbidden: frozenset[tuple[int, int]] = frozenset()
    names: frozenset[str] = frozenset()
    alone = False
    tried: list[str] = []  # noqa: RUF012
    heard: list[str] | None = None


@contextlib.contextmanager
def forbidden(paths: Iterable[Path], alone: bool = False) -> Iterator[None]:
    """While it lasts, opening one of `paths`, under whatever name, fails with PermissionError; `alone`, so does
    beginning a process."""
    paths = list(paths)
    before = _Watch.forbidden, _Watch.names, _Watch.tried, _Watch.alone
    _Watch.forbidden = frozenset(_identity(os.stat(path)) for path in paths)
    _Watch.names = frozenset(path.name for path in paths)
    _Watch.tried, _Watch.alone = [], alone
    if paths or alone:
        _hook()
    try:
        with _telling() if alone else contextlib.nullcontext():
            yield
    finally:
        _Watch.forbidden, _Watch.names, _Watch.tried, _Watch.alone = before


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """What `multiprocessing` begins processes with tells no audit hook: while it lasts, it does."""
    inner = getattr(_posixsubprocess, "fork_exec", None)
    if inner is None:
        yield
        return

    def fork_exec(*given: object) -> int:
        sys.audit(FORK_EXEC)
        return inner(*given)

    _posixsubprocess.fork_exec = fork_exec
    try:
        yield
    finally:
        _posixsubprocess.fork_exec = inner


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """The files that Python code opens while it lasts, in order."""
    before, _Watch.heard = _Watch.heard, []
    _hook()
    try:
        yield _Watch.heard
    finally:
        _Watch.heard = before


def refuse_opened() -> None:
    """Raises PluginError if somebody tried what is forbidden, whatever became of the error that he got."""
    if _Watch.tried:
        raise PluginError(f"a technique {_Watch.tried[0]}, and this run cannot count")


def _hook() -> None:
    if not _Watch.hooked:
        sys.addaudithook(_hear)
        _Watch.hooked = True


def _hear(event: str, args: tuple[object, ...]) -> None:
    if event in BEGINNING and _Watch.alone:
        _Watch.tried.append(f"began another process while it was trained ({event})")
        raise PermissionError(f"{event}: a run begins no other process")
    if event not in NAMED or (not _Watch.forbidden and _Watch.heard is None):
        return
    for given in args[: NAMED[event]]:
        if _Watch.heard is not None and isinstance(given, str | os.PathLike):
            _Watch.heard.append(os.fspath(given))
    for path in _paths(event, args):
        if _is_forbidden(path):
            _Watch.tried.append(f"opened {path} while it was trained: that is the text it is judged on")
            raise PermissionError(f"{path}: a run must not read what it is judged on")


def _paths(event: str, args: tuple[object, ...]) -> list[str]:
    """What the event leads to; what a link says is meant from the folder in which it will lie."""
    given = [each for each in args[: NAMED[event]] if isinstance(each, str | bytes | os.PathLike)]
    paths = [os.fsdecode(each) for each in given]
    if event == "os.symlink" and len(paths) == NAMED[event]:
        paths[0] = os.path.join(os.path.dirname(paths[1]), paths[0])
    return paths


def _is_forbidden(path: str) -> bool:
    """Whether it leads to a closed file: from the working directory, or from any open folder, as no event says from
    which (`dir_fd`)."""
    if not _Watch.forbidden:
        return False
    if os.path.isabs(path):
        return _leads_there(path)
    folders = _open_files()
    if folders is None:
        return _leads_there(path) or os.path.basename(path) in _Watch.names
    return _leads_there(path) or any(_leads_there(path, each) for each in folders)


def _leads_there(path: str, folder: int | None = None) -> bool:
    try:
        return _identity(os.stat(path, dir_fd=folder)) in _Watch.forbidden
    except (OSError, ValueError):  # nothing lies there, or the number is of no folder
        return False


def _open_files() -> list[int] | None:
    """Numbers of all open files of this process, folders among them; None where the system does not tell them."""
    if os.open not in os.supports_dir_fd:
        return []
    for place in DESCRIPTORS:
        with contextlib.suppress(OSError):
            return [int(name) for name in os.listdir(place)]
    return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
