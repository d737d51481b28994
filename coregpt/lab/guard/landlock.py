"""A sandbox of the kernel's: from here on this process and its children cannot read some files.

Landlock (Linux 5.13 and later) needs no rights, and cannot be left again. It knows only what is allowed, so everything
is allowed but the folders on the way to the files; files that are made in one of these folders later cannot be read.

Source: Landlock userspace API of the Linux kernel.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every architecture."""
READ_FILE, REFER = 1 << 2, 1 << 13
VERSION, PATH_BENEATH, NO_NEW_PRIVILEGES = 1, 1, 38
REFER_SINCE = 2
"""The version from which moving files between folders can be allowed, which is refused otherwise."""
MOST_RULES = 4000
"""With more neighbours than this the sandbox would take longer than it is worth."""


class _Attributes(ctypes.Structure):
    _fields_ = [("handled_access_fs", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_libc().syscall(CREATE_RULESET, None, 0, VERSION)))


def close_to_reading(paths: Iterable[Path]) -> str:
    """This process cannot read `paths` any more, for good; a name for the sandbox, or why there is none."""
    found = version()
    if found == 0:
        return "none: the kernel has no Landlock"
    closed = {path.resolve() for path in paths}
    on_the_way = {parent for path in closed for parent in path.parents}
    allowed = [each for folder in on_the_way for each in _entries(folder) if each not in closed | on_the_way]
    if len(allowed) > MOST_RULES:
        return f"none: {len(allowed):,} files and folders lie beside the data and above it"
    access = READ_FILE | (REFER if found >= REFER_SINCE else 0)
    try:
        _restrict(allowed, access)
    except OSError as error:
        return f"none: {error.strerror}"
    return f"Landlock {found}"


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder)]
    except OSError:  # it may be passed through and not listed
        return []


def _restrict(allowed: Iterable[Path], access: int) -> None:
    libc = _libc()
    attributes = _Attributes(access)
    rules = _checked(libc.syscall(CREATE_RULESET, ctypes.byref(attributes), ctypes.sizeof(attributes), 0))
    try:
        for path in allowed:
            _allow(rules, path, access)
        _checked(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(libc.syscall(RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, access: int) -> None:
    if path.is_symlink():
        return  # what it leads to is allowed by its own place
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        own = access if path.is_dir() else access & READ_FILE
        rule = _Beneath(own, place)
        _checked(_libc().syscall(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(place)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
