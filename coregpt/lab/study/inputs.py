"""Inputs of a run as they lie on disk: another run's kept weights with its frozen plugins, or a file."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coregpt.contract.config import InputSource, RunConfig
from coregpt.contract.errors import ConfigError, CoreGPTError
from coregpt.engine import weights
from coregpt.engine.inputs import Stored, stored_file
from coregpt.lab.atomic import read_json
from coregpt.lab.study.identity import IMPORTS, plugin_digests, run_id
from coregpt.lab.study.part import WEIGHTS, RunPart
from coregpt.lab.study.registry import Catalogue, nearest


def inputs_of(config: RunConfig, catalogue: Catalogue) -> dict[str, Stored]:
    """Where the inputs of a run lie, by name. Looked for once for each catalogue.

    Raises ConfigError for what is not there or cannot be read.
    """
    for source in config.inputs.values():
        if source not in catalogue.opened:
            catalogue.opened[source] = find(source, catalogue)
    return {name: catalogue.opened[source] for name, source in config.inputs.items()}


def find(source: InputSource, catalogue: Catalogue) -> Stored:
    """One input. Raises ConfigError saying why there is none."""
    try:
        if source.run is not None:
            return _of_run(source.run, catalogue.stores)
        if source.file is None:
            raise ConfigError(f"{source} is needed, and nothing says where it lies; give the study with its file")
        return _of_file(Path(source.file), catalogue)
    except CoreGPTError as error:
        raise ConfigError(str(error)) from error


def found_file(source: InputSource, places: Sequence[Path]) -> InputSource:
    """A file by its absolute path and digest, looked for in `places` in turn; a run as it is. Raises ConfigError."""
    if source.file is None:
        return source
    files = [(place / source.file).resolve() for place in places]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise ConfigError(f"there is no file {' or '.join(dict.fromkeys(map(str, files)))}")
    digest = file_digest(found)
    if source.sha256 not in (None, digest):
        raise ConfigError(f"{found} has the sha256 {digest}, not {source.sha256}")
    return source.model_copy(update={"file": str(found), "sha256": digest})


def file_digest(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(inputs: Mapping[str, Stored]) -> dict[str, str]:
    """sha256 of the weights that each input is, by name."""
    return {name: file_digest(stored.path) for name, stored in inputs.items()}


def weights_of(id_: str, stores: Sequence[Path]) -> Path:
    """The file of a finished run's final weights. Raises ConfigError saying why there is none."""
    folder = next((store / id_ for store in stores if id_ and (store / id_ / "config.json").is_file()), None)
    if folder is None:
        known = [path.parent.name for store in stores for path in store.glob("*/config.json")]
        where = ", ".join(map(str, stores[:1])) or "a folder of runs"
        raise ConfigError(f"there is no run '{id_}' in {where}{_hint(id_, known)}")
    if "aside" in (read_json(folder / "config.json") or {}):
        raise ConfigError(f"run {id_} is a program's: what it leaves is its own affair, in {folder / 'out'}")
    if RunPart.of(read_json(folder / "config.json") or {}).is_trunk:
        raise ConfigError(f"run {id_} is the trunk of a fork and has no final weights; name one of its branches")
    result = read_json(folder / "result.json")
    if result is None:
        raise ConfigError(f"run {id_} is not complete, so it has no final weights yet")
    if result["status"] != "finished":
        raise ConfigError(f"run {id_} {result['status']}, so it has no final weights")
    path = folder / WEIGHTS
    if not path.is_file():
        raise ConfigError(
            f"run {id_} has no weights: its study says keep: nothing, an older version trained it, or they were "
            f"deleted; coregpt rerun {id_} makes them"
        )
    return path


def _hint(id_: str, known: Sequence[str]) -> str:
    """`; did you mean ...?`, or how to find out."""
    begins = [name for name in known if id_ and name.startswith(id_)]
    close = f"; did you mean '{begins[0]}'?" if len(begins) == 1 else nearest(id_, known)
    return close if "did you mean" in close else "; coregpt ls lists them"


def _of_run(id_: str, stores: Sequence[Path]) -> Stored:
    path = weights_of(id_, stores)
    frozen = path.parent / "plugins"
    own = Catalogue(sorted(frozen.glob("*.py")), frozen / IMPORTS, stores)
    return _with_model(path, read_json(path.parent / "config.json") or {}, own)


def _of_file(path: Path, catalogue: Catalogue) -> Stored:
    record = weights.read(path, "meta").record
    return _with_model(path, record, catalogue) if record else stored_file(path)


def _with_model(path: Path, record: Mapping[str, Any], catalogue: Catalogue) -> Stored:
    """Weights and the settings of their model, which can be made as long as its sources are what they were."""
    try:
        config = RunConfig.model_validate(record["config"])
        now = run_id(config, plugin_digests(catalogue, config.plugins), record["data"], RunPart.of(record))
        if now != record["id"]:
            changed = "core or its techniques have changed since it was trained, so its model cannot be made again"
            return Stored(path, no_model=f"{changed}; train it anew")
        return Stored(path, config, catalogue.instances(config.plugins), inputs_of(config, catalogue), no_model="")
    except (CoreGPTError, ValueError, KeyError) as error:  # of another version, or of a plugin that is not here
        first = str(error).splitlines()[0] if str(error) else repr(error)
        return Stored(path, no_model=f"its model cannot be made here ({first})")
