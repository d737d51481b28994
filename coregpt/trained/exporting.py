"""A finished model as a folder that needs neither its study nor its run: safetensors, settings, techniques, tokenizer.

config.json          settings and digests of the run, what its tokens mean
model.safetensors    parameters and persistent buffers as the last evaluation saw them, fp32
tokenizer.json       where its tokenizer is a file
plugins/             techniques that lie in no package, and all that they import
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from coregpt import __version__
from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, CoreGPTError, RunError
from coregpt.engine import weights as files
from coregpt.engine.build import Assembled, assemble
from coregpt.engine.inputs import open_inputs
from coregpt.lab.study.identity import IMPORTS, engine_digest, plugin_digests
from coregpt.lab.study.inputs import weights_of
from coregpt.lab.study.registry import Catalogue
from coregpt.text.extras import extra
from coregpt.text.folder import tokenizer_of
from coregpt.text.tokenizer import NAMES
from coregpt.trained.opening import Trained, fill, meaning_of, refuse_other_data, settings, where_it_lies

CONFIG, MODEL, PLUGINS = "config.json", "model.safetensors", "plugins"
FORMAT = "coregpt-model-1"


class Record(BaseModel):
    """What a run's record says of its model."""

    config: RunConfig
    engine: str
    plugins: dict[str, str]
    """Digests of the techniques."""
    data: str


class About(BaseModel):
    """`config.json` as it is read."""

    run: Record
    buffers: list[str]
    separator: int | None
    tokenizer: str


def export(run_id: str, store: Path, out: Path) -> Path:
    """Write the folder `out`, whole or not at all. Raises ConfigError for a run that has no model or needs others."""
    library = extra("safetensors.torch", "an export")
    if out.exists():
        raise ConfigError(f"{out} is there already; choose another --out, or remove it")
    path = weights_of(run_id, [store])
    saved = files.read(path)
    record = dict(saved.record)
    config = RunConfig.model_validate(record["config"])
    if config.inputs:
        names = ", ".join(config.inputs)
        raise ConfigError(
            f"run {run_id} is given {names}, without which its model cannot be made; it cannot be exported"
        )
    there = where_it_lies(config, record["data"], store)
    refuse_other_data(there, record["data"], f"run {run_id}")
    separator, tokenizer = meaning_of(there.data.source)
    work = out.with_name(f".{out.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        if (path.parent / PLUGINS).is_dir():
            shutil.copytree(path.parent / PLUGINS, work / PLUGINS)
        named = with_tokenizer(work, tokenizer)
        about = {
            "format": FORMAT,
            "coregpt": __version__,
            "run": {**record, "config": settings(config)},
            "buffers": sorted(saved.buffers),
            "separator": separator,
            "tokenizer": named,
        }
        (work / CONFIG).write_text(json.dumps(about, indent=1), encoding="utf-8")
        write_tensors(library, {**saved.buffers, **saved.params}, work / MODEL)
        shutil.copymode(work / CONFIG, work / MODEL)  # the library's files are their maker's alone
        open_export(work)
        os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def write_tensors(library: Any, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raises RunError where they find no room."""
    try:
        library.save_file(dict(tensors), file, {"format": "pt"})
    except Exception as error:  # the library's own, of a full disk too
        raise RunError(f"{file.name} cannot be written ({str(error) or type(error).__name__})") from error


def with_tokenizer(work: Path, place: str) -> str:
    """Its name in the export; "" where nobody knows it."""
    if not place or place in NAMES:
        return place
    try:
        found = tokenizer_of(Path(place))
    except CoreGPTError:
        return ""
    if found.name not in NAMES:
        (work / found.name).write_text(found.text, encoding="utf-8")
    return found.name


def is_export(path: Path) -> bool:
    return (path / MODEL).is_file()


def open_export(folder: Path | str, device: str = "cpu") -> Trained:
    """The model of an export. Raises ConfigError for a folder that is none, or weights that are another model's."""
    library = extra("safetensors.torch", "reading an export")
    folder = Path(folder)
    about = _about(folder)
    config = about.run.config
    frozen = folder / PLUGINS
    catalogue = Catalogue(sorted(frozen.glob("*.py")), frozen / IMPORTS)
    where = torch.device(device)
    plugins = catalogue.instances(config.plugins)
    try:
        tensors = library.load_file(folder / MODEL, device=device)
    except Exception as error:  # the library's own
        raise ConfigError(f"{folder / MODEL} is no file of safetensors ({str(error).partition(chr(10))[0]})") from error
    buffers = {name: tensors.pop(name) for name in about.buffers if name in tensors}

    def again(config: RunConfig) -> Assembled:
        made = assemble(config, plugins, open_inputs({}, {}, where, assemble_nothing), where, about.separator)
        fill(made, tensors, buffers, str(folder / MODEL))
        return made

    named = about.tokenizer
    place = named if named in NAMES or not named else str(folder / named)
    return Trained(folder.name, config, again(config), about.separator, place, about.run.data, again)


def assemble_nothing(*_: Any) -> Any:
    """An export has no inputs."""
    raise ConfigError("an export has no inputs")


def changed_since(folder: Path) -> list[str]:
    """What is not as it was when the model was trained: its numbers may then differ, though its weights do not."""
    run = _about(folder).run
    frozen = folder / PLUGINS
    now = plugin_digests(Catalogue(sorted(frozen.glob("*.py")), frozen / IMPORTS), run.config.plugins)
    odd = [f"technique '{name}'" for name, digest in now.items() if run.plugins.get(name) != digest]
    return [*(["core"] if run.engine != engine_digest() else []), *odd]


def _about(folder: Path) -> About:
    path = folder / CONFIG
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); expected the folder of a `coregpt export`") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ConfigError(f"{path} is no export of this version; expected format {FORMAT}")
    try:
        return About.model_validate(about)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {key}: {first['msg'].lower()}; it was edited or damaged, export again") from error
