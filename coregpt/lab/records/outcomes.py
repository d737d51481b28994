"""Secondary outcomes of a finished run, kept beside it in `outcomes/`, a file for each way of asking.

They are looked at and change nothing, so they are no part of the run's identity, and asking for others trains nothing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.identity import canonical

RULES = 1
"""Another number here where any outcome would come out otherwise: then all are measured anew."""


@dataclass(frozen=True)
class Measured:
    """What was found of one run."""

    values: Mapping[str, float]
    """By the name of the outcome, in the order in which they are told."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """By the name of an outcome that the model does not have, why."""


def file_of(folder: RunFolder, asked: Mapping[str, Any]) -> Path:
    """Where it lies, measured or not."""
    key = hashlib.sha256(canonical({"rules": RULES, **asked})).hexdigest()[:12]
    return folder.path / "outcomes" / f"{key}.json"


def measured(folder: RunFolder, asked: Mapping[str, Any]) -> Measured | None:
    """None for what was never measured, or of another result than the run has now. Raises RunError if damaged."""
    found, result = read_json(file_of(folder, asked)), folder.result()
    if found is None or result is None or found["of"] != _losses(result):
        return None
    return Measured({name: float(value) for name, value in found["values"]}, found["refused"])


def keep(folder: RunFolder, asked: Mapping[str, Any], found: Measured) -> None:
    """Write it, whole or not at all; the run is complete."""
    result = folder.result()
    assert result is not None
    path = file_of(folder, asked)
    path.parent.mkdir(exist_ok=True)
    said = {"asked": dict(asked), "rules": RULES, "values": list(found.values.items()), "refused": dict(found.refused)}
    write_json(path, {**said, "of": _losses(result)})


def _losses(result: Mapping[str, Any]) -> dict[str, Any]:
    """To the last bit those of the weights that were measured."""
    return {name: result[name] for name in ("value", "select")}
