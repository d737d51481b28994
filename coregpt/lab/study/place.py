"""Where the data of a study lie: a folder is looked for beside the study's file, then where the command is called."""

import os
from pathlib import Path

from coregpt.engine.data import NAMES, TokenSource, open_source


def located(source: str, beside: Path) -> str:
    """The full path of a folder, so that it means the same in every process; a name, or what is nowhere, as it is."""
    if source in NAMES:
        return source
    return next((os.path.abspath(place) for place in _places(source, beside) if place.is_dir()), source)


def opened(source: str, beside: Path) -> tuple[TokenSource, str]:
    """The data, and where they were found. Raises DataError, naming the places in which a folder was looked for."""
    where = located(source, beside)
    looked = [] if where in NAMES else [os.path.abspath(place) for place in _places(source, beside)]
    return open_source(where, list(dict.fromkeys(looked))), where


def _places(source: str, beside: Path) -> list[Path]:
    folder = Path(source).expanduser()
    return [beside / folder, Path.cwd() / folder]
