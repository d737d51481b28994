"""Files that outcomes are measured on, which are no training data: where they lie, and what they hold."""

import hashlib
from pathlib import Path

from coregpt.contract.errors import ConfigError
from coregpt.engine.data import fineweb_folder
from coregpt.lab.study.inputs import file_digest


def fetched(name: str) -> Path:
    """Where `coregpt data fetch NAME` puts a set."""
    return fineweb_folder().parent / name


def found(name: str, beside: Path) -> Path:
    """A file or folder by its full path: beside the study's file, where the command is called, or fetched by its name.

    Raises ConfigError naming the places, for none.
    """
    places = [(place / Path(name).expanduser()).resolve() for place in (beside, Path())]
    places += [fetched(name)] if Path(name).name == name else []
    place = next((each for each in places if each.exists()), None)
    if place is None:
        raise ConfigError(f"there is no file or folder {' or '.join(dict.fromkeys(map(str, places)))}")
    return place


def visible(folder: Path) -> list[Path]:
    """Every file in a folder, and in those below it, whose name begins with no dot, in the order of paths."""
    return sorted(path for path in folder.rglob("[!.]*") if path.is_file())


def digest(path: Path) -> str:
    """sha256 of a file's content; of a folder's files, their names and contents, in the order of names."""
    if path.is_file():
        return file_digest(path)
    rows = [f"{file.relative_to(path).as_posix()} {file_digest(file)}\n" for file in visible(path)]
    return hashlib.sha256("".join(rows).encode()).hexdigest()
