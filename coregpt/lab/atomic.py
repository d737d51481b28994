"""Files that are complete or absent, whatever happens while they are written."""

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError, RunError


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


def unwritable(path: Path, error: OSError) -> RunError:
    """What to tell of a full disk or a folder that was taken away."""
    return RunError(f"{path} cannot be written ({error.strerror}); what is complete is kept: mend and call again")


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` wrote; None if there is no such file. Raises RunError for a damaged one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
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
    """Make the folder and prove that files can be written in it. Raises ConfigError."""
    probe = path / f".probe.{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"cannot write in the folder {path} ({error.strerror}); choose another one") from error
    return path
