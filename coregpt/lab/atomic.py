"""Files that are complete or absent, whatever happens while they are written."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError, CoreGPTError, RunError

try:
    import pwd
except ImportError:  # Windows has no such file
    pwd = None  # type: ignore[assignment]

MAY_NOT = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system says where somebody else decides: a file of another user, a folder that is only to be read."""


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step that survives a crash. Raises RunError where that is impossible."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> CoreGPTError:
    """What to tell of a full disk, a folder that was taken away, or one that is another user's."""
    if error.errno in MAY_NOT:
        return denied(path, error)
    return RunError(f"{path} cannot be written ({error.strerror}); what is complete is kept: mend and call again")


def denied(path: Path, error: OSError) -> ConfigError:
    """What to tell of a file that is somebody else's; a run is not to be blamed for it."""
    return ConfigError(f"{path}: {error.strerror}{_owned(path)}; ask for access, or choose a folder of your own")


def _owned(path: Path) -> str:
    """` (it belongs to alice)`, of the path or of what of it is there; nothing for one's own."""
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), None)
    if there is None or pwd is None or (owner := there.lstat().st_uid) == os.geteuid():
        return ""
    try:
        return f" ({there} belongs to {pwd.getpwuid(owner).pw_name})"
    except KeyError:  # a number without a name, as in containers
        return f" ({there} belongs to user {owner})"


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` wrote; None if there is no such file. Raises RunError for a damaged one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise denied(path, error) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); delete it to start over") from error
    if not isinstance(data, dict):
        raise RunError(f"{path} is not a JSON object; delete it to start over")
    return data


def read_text(path: Path) -> str:
    """A file that a user named. Raises ConfigError if it cannot be read as text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file in UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error


def writable_folder(path: Path) -> Path:
    """Make the folder and prove that files can be written in it. Raises ConfigError, and leaves nothing then."""
    probe = path / f".probe.{os.getpid()}"
    with gone_if_refused(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(f"cannot write in the folder {path} ({error.strerror}); choose another one") from error
    return path


@contextlib.contextmanager
def gone_if_refused(*paths: Path, unless: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Files and folders that are not there yet, and folders made to hold them, go again if a CoreGPTError is raised.

    A folder that something else was put into stays; so does everything if `unless` says so then.
    """
    new = {place for path in paths for place in (path, *path.parents) if not os.path.lexists(place)}
    try:
        yield
    except CoreGPTError:
        for place in () if unless() else sorted(new, key=lambda place: len(place.parts), reverse=True):
            with contextlib.suppress(OSError):
                place.rmdir() if place.is_dir() else place.unlink(missing_ok=True)
        raise
