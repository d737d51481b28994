"""Where the data of a study lie: a folder is looked for beside the study's file, then where the command is called."""

import os
from pathlib import Path

from coregpt.contract.data_config import DataConfig
from coregpt.contract.errors import DataError
from coregpt.engine.data import NAMES, TokenSource, mixed, open_source


def located(source: str, beside: Path) -> str:
    """The full path of a folder, so that it means the same in every process; a name, or what is nowhere, as it is."""
    if source in NAMES:
        return source
    return next((os.path.abspath(place) for place in _places(source, beside) if place.is_dir()), source)


def placed(data: DataConfig, beside: Path) -> DataConfig:
    """With the full path of every folder; see `located`."""
    mixture = {
        name: each.model_copy(update={"source": located(each.source, beside)}) for name, each in data.mixture.items()
    }
    return data.model_copy(update={"source": located(data.source, beside), "mixture": mixture})


def is_nowhere(data: DataConfig, beside: Path) -> bool:
    """Whether a source is neither a name nor a folder."""
    placed_ = placed(data, beside)
    found = [placed_.source, *(each.source for each in placed_.mixture.values())]
    return any(source not in NAMES and not Path(source).is_dir() for source in found)


def opened(data: DataConfig, beside: Path) -> TokenSource:
    """All that is trained and evaluated on. Raises DataError, naming the places in which a folder was looked for."""
    others = {}
    for name, each in data.mixture.items():
        try:
            others[name] = _opened(each.source, beside)
        except DataError as error:
            raise DataError(f"data.mixture.{name}.source: {error}") from error
    return mixed(_opened(data.source, beside), others)


def _opened(source: str, beside: Path) -> TokenSource:
    where = located(source, beside)
    looked = [] if where in NAMES else [os.path.abspath(place) for place in _places(source, beside)]
    return open_source(where, list(dict.fromkeys(looked)))


def _places(source: str, beside: Path) -> list[Path]:
    folder = Path(source).expanduser()
    return [beside / folder, Path.cwd() / folder]
