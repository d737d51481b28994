"""From the name in a study to a token source."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from coregpt.contract.data_config import DataConfig
from coregpt.contract.errors import DataError
from coregpt.engine.data.corpus import pydocs
from coregpt.engine.data.files import cache_dir
from coregpt.engine.data.mixing import mixed
from coregpt.engine.data.shards import FETCH_FINEWEB
from coregpt.engine.data.source import TokenSource, open_folder

FINEWEB = "fineweb10B"
NAMES = ("pydocs", FINEWEB)


def open_data(data: DataConfig) -> TokenSource:
    """Open all that a run is trained and evaluated on. Raises DataError as `open_source`."""
    source = open_source(data.source)
    return mixed(source, {name: open_source(each.source) for name, each in data.mixture.items()})


def open_source(name_or_folder: str, looked: Sequence[str] = ()) -> TokenSource:
    """Open `pydocs`, `fineweb10B`, or a folder of `*train*.bin` and `*val*.bin` shards.

    `looked` are the places in which a folder was looked for, to be named if there is none.
    Raises DataError when there is no such source or it is incomplete or damaged.
    """
    if name_or_folder == "pydocs":
        return pydocs()
    if name_or_folder == FINEWEB:
        folder = fineweb_folder()
        if not folder.is_dir():
            raise DataError(f"data source '{FINEWEB}': there is no {folder}; {FETCH_FINEWEB}, or set COREGPT_DATA")
        return open_folder(folder, FINEWEB)
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return open_folder(folder)
    file = next((each for each in (folder, *map(Path, looked)) if each.is_file()), None)
    if file is not None:
        raise DataError(
            f"data source '{name_or_folder}' is a file, and a source is a folder of shards; make one with "
            f"`coregpt data prepare {file} --out {file.with_suffix('')}` and name that folder"
        )
    near = difflib.get_close_matches(name_or_folder, NAMES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(NAMES)}, or a folder of .bin shards"
    where = f" (there is no {' and no '.join(looked)})" if looked else ""
    raise DataError(f"no data source or folder '{name_or_folder}'{where}; {hint}")


def fineweb_folder() -> Path:
    """Where FineWeb shards are looked for and fetched to: `$COREGPT_DATA/fineweb10B`, else in the cache."""
    data = os.environ.get("COREGPT_DATA")
    return (Path(data).expanduser() if data else cache_dir()) / FINEWEB
