"""Who executes a run: one process at a time, by a lock on a file in its folder."""

import os
import platform
import time
from dataclasses import dataclass

from coregpt.lab.atomic import unwritable
from coregpt.lab.records.store import RunFolder

try:
    import fcntl
except ImportError:  # Windows has no advisory locks
    fcntl = None  # type: ignore[assignment]


@dataclass
class Claim:
    """The right to execute one run, held through an open file: it ends with its last process, even if killed.

    The kernel's lock on the file is what counts. A pid written into a file could outlive its process or be
    given to another one; a lock cannot.
    """

    descriptor: int

    def release(self) -> None:
        """Give up this process's hold; a child that inherited the descriptor keeps the claim."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def claim(folder: RunFolder, patience: float = 0.0) -> Claim | None:
    """Claim a run; None if a living process has it, still after `patience` seconds.

    Whoever only looks whether a run is free has it for an instant too.
    """
    until = time.monotonic() + patience
    while (held := _claim(folder)) is None and time.monotonic() < until:
        time.sleep(0.005)
    return held


def _claim(folder: RunFolder) -> Claim | None:
    try:
        descriptor = os.open(folder.path / "claim", os.O_RDWR | os.O_CREAT, 0o666)  # the umask says who else may
    except OSError as error:
        raise unwritable(folder.path / "claim", error) from error
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # a file system without locks: there one launcher at a time is up to the user
            pass
    os.truncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
    return Claim(descriptor)


def claimed(folder: RunFolder) -> bool:
    """Whether a living process has a run. A launcher that asks at the same instant sees it as taken, and asks again."""
    try:
        descriptor = os.open(folder.path / "claim", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def holder(folder: RunFolder) -> str:
    """Who claimed a run last, for people to read: `process 123 on node7`. Whether it lives, `claimed` says."""
    try:
        return (folder.path / "claim").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
