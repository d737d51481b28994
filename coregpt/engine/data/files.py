"""Where data is cached, and how files are written so that nobody ever sees half of one."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from coregpt.contract.errors import DataError

try:
    import fcntl
except ImportError:  # not a POSIX system, where nothing keeps a second process away
    fcntl = None  # type: ignore[assignment]


def cache_dir() -> Path:
    """`$COREGPT_CACHE`, else `$XDG_CACHE_HOME/coregpt`, else `~/.cache/coregpt`.

    `$COREGPT_CACHE` is taken as it is: it may be a prepared, read-only cache. Where the others cannot be
    written (a read-only home), a private folder in the system's temporary directory takes their place.
    """
    explicit = os.environ.get("COREGPT_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(xdg) if xdg else Path("~/.cache").expanduser()) / "coregpt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return _private_temporary_folder()
    return folder if os.access(folder, os.W_OK | os.X_OK) else _private_temporary_folder()


def _private_temporary_folder() -> Path:
    """One folder per user, the same on every call; refused if somebody else made it or may write to it."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"coregpt-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError as error:
        raise DataError(f"no cache folder can be written ({error}); set COREGPT_CACHE to one that can") from error
    if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & 0o022):
        raise DataError(f"{folder} belongs to another user or is open to them; set COREGPT_CACHE to a folder of yours")
    return folder


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file that takes the place of `path` when the block succeeds and vanishes when it fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def alone_in(folder: Path, lock_file: str, doing: str) -> Iterator[None]:
    """Keeps a second process from `doing` the same in a folder: it would write to the same partial files.

    Raises DataError there, at once.
    """
    with open(folder / lock_file, "w") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"another process is {doing} into {folder}; wait for it or stop it") from error
        yield
