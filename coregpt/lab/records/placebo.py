"""Runs of one baseline, whichever study had them trained, and what `coregpt placebo` found with them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.records import losses
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Stream
from coregpt.lab.study.identity import canonical, counted
from coregpt.lab.study.part import WHOLE, RunPart

FOLDER = "placebo"


def identity(record: Mapping[str, Any]) -> str:
    """What a run is but for its seed, by what its config.json says; "" for a part of a run, which is no unit."""
    if RunPart.of(dict(record)) != WHOLE:
        return ""
    config = {key: value for key, value in counted(record["config"]).items() if key not in ("seed", "data_seed")}
    said = {"config": config, **{key: record[key] for key in ("engine", "plugins", "data")}}
    return hashlib.sha256(canonical(said)).hexdigest()


def pool(wanted: str, stream: Stream, store: Path) -> dict[int, float]:
    """By seed the final loss of every run of that identity, infinite if it diverged."""
    found: dict[int, float] = {}
    for file in sorted(store.glob("*/config.json")):
        record = read_json(file) or {}
        if "config" not in record or identity(record) != wanted:
            continue
        config = record["config"]
        value = losses.final(RunFolder(file.parent), stream)
        if value is not None and config["seed"] == config["data_seed"]:
            found[int(config["seed"])] = value
    return found


def name(wanted: str, seeds: int, alpha: float, stage: str) -> str:
    """Of a placebo: its baseline, and how it was tested."""
    return hashlib.sha256(canonical([wanted, seeds, alpha, stage])).hexdigest()[:16]


def record(name_: str, facts: Mapping[str, Any], store: Path) -> None:
    """Keep what was found where reports of that baseline and test find it."""
    folder = store / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name_}.json", dict(facts))


def recorded(name_: str, store: Path) -> dict[str, Any] | None:
    """None where there was no placebo."""
    return read_json(store / FOLDER / f"{name_}.json")
