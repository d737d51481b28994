"""What a program reads and git does not have: found, hashed, and linked into its clone."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from coregpt.contract.errors import ConfigError, RunError
from coregpt.engine.data import cache_dir
from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.command.git import Repository

Signature = dict[str, tuple[int, int]]
"""Size and time of the last change, in nanoseconds, by file."""


def files_of(repository: Repository, commit: str, name: str) -> list[str]:
    """Files of one input that the commit does not have, sorted, below the repository. Raises ConfigError."""
    asked = PurePosixPath(name)
    if asked.is_absolute() or ".." in asked.parts:
        raise ConfigError(f"'{name}' leads out of the repository; write a path below it (a link there will do)")
    place = repository.path / asked
    if not place.exists():
        raise ConfigError(f"there is no file or folder {place}")
    tracked = repository.tracked(commit, name)
    found = [each for each in _files(place, asked.as_posix()) if each not in tracked]
    if not found and not tracked:
        raise ConfigError(f"{place} is an empty folder")
    return sorted(found)


def _files(place: Path, name: str) -> Iterator[str]:
    if place.is_file():
        yield name
        return
    for root, folders, files in os.walk(place, followlinks=True):
        folders[:] = [each for each in folders if each != ".git"]
        below = os.path.relpath(root, place)
        yield from (str(PurePosixPath(name) / below / each) for each in files)


def digest(root: Path, files: Iterable[str]) -> str:
    """sha256 over names and contents; what was hashed once is not read again while size and time stay."""
    kept = cache_dir() / "command" / "hashed.json"
    known = _known(kept)
    new: dict[str, list[object]] = {}
    whole = hashlib.sha256()
    for name in files:
        path = (root / name).resolve()
        at = path.stat()
        mark = [at.st_size, at.st_mtime_ns]
        there = known.get(str(path))
        if there is None or there[:2] != mark:
            new[str(path)] = there = [*mark, _hashed(path)]
        whole.update(f"{name}\0{there[2]}\n".encode())
    if new:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {**known, **new})
        except (OSError, RunError, ConfigError):  # a cache that may only be read: hashed again next time
            pass
    return whole.hexdigest()


def _known(kept: Path) -> Mapping[str, list[object]]:
    try:
        return read_json(kept) or {}
    except (RunError, ConfigError, json.JSONDecodeError):
        return {}


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def signature(root: Path, files: Iterable[str]) -> Signature:
    """What tells whether a file was written to."""
    stats = {name: (root / name).stat() for name in files if (root / name).exists()}
    return {name: (each.st_size, each.st_mtime_ns) for name, each in stats.items()}


def link(root: Path, files: Iterable[str], clone: Path) -> None:
    """Each file as a link in the clone; folders are its own, so that new files are made in the clone."""
    for name in files:
        there = clone / name
        there.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(there):
            there.symlink_to((root / name).resolve())
