"""What two finished runs differ in: settings, losses along the way, weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coregpt.engine import weights as files
from coregpt.engine.training.outcome import HELD_OUT, SELECT
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.differences import ABSENT, flatten
from coregpt.lab.study.inputs import weights_of

ENDS = (SELECT, HELD_OUT)


@dataclass(frozen=True)
class Tensors:
    """One parameter or buffer of two models."""

    name: str
    shape: str
    """Of the first, and of the second where it is another one; `-` where one has none."""
    distance: float | None
    """Norm of the difference over the norm of the first; None where shapes differ."""
    cosine: float | None


@dataclass(frozen=True)
class Difference:
    """Of the second run against the first."""

    settings: dict[str, tuple[str, str]]
    """By key, where they are not equal; `-` where one has none."""
    curves: list[tuple[int, float, float]]
    """(step, loss on select of each), where both were evaluated."""
    ends: dict[str, tuple[float | None, float | None]]
    """Final losses by name, and seconds of training."""
    weights: list[Tensors] | None
    """None where one of them has kept none."""


def compare(first: RunFolder, second: RunFolder, store: Path) -> Difference:
    """Raises ConfigError for a run without a folder."""
    folders = (first, second)
    configs = [_settings(folder) for folder in folders]
    keys = sorted({key for each in configs for key in each})
    shown = {key: (_text(configs[0], key), _text(configs[1], key)) for key in keys}
    results = [folder.result() or {} for folder in folders]
    named = {HELD_OUT: "value", SELECT: "select", "training seconds": "train_seconds"}
    return Difference(
        {key: pair for key, pair in shown.items() if pair[0] != pair[1]},
        _curves(folders),
        {name: (results[0].get(key), results[1].get(key)) for name, key in named.items()},
        _weights(folders, store),
    )


def _settings(folder: RunFolder) -> dict[str, Any]:
    """What a run is named by, settings flat and techniques by the digest of their code."""
    record = folder.config()
    code = {f"code of {name}": digest[:12] for name, digest in record.get("plugins", {}).items()}
    facts = {"code of core": str(record.get("engine", ABSENT))[:12], "data": str(record.get("data", ABSENT))[:12]}
    return {**flatten(record["config"]), **facts, **code}


def _text(settings: Mapping[str, Any], key: str) -> str:
    return str(settings[key]) if key in settings else ABSENT


def _curves(folders: tuple[RunFolder, RunFolder]) -> list[tuple[int, float, float]]:
    found = [{int(row["step"]): float(row[SELECT]) for row in folder.rows() if SELECT in row} for folder in folders]
    return [(step, found[0][step], found[1][step]) for step in sorted(found[0].keys() & found[1].keys())]


def _weights(folders: tuple[RunFolder, RunFolder], store: Path) -> list[Tensors] | None:
    if not all(folder.weights.is_file() and folder.result() for folder in folders):
        return None
    saved = [files.read(weights_of(folder.id, [store])) for folder in folders]
    both = [{**each.buffers, **each.params} for each in saved]
    return [_tensors(name, both[0].get(name), both[1].get(name)) for name in sorted({**both[0], **both[1]})]


def _tensors(name: str, first: Tensor | None, second: Tensor | None) -> Tensors:
    shapes = [ABSENT if each is None else "x".join(map(str, each.shape)) or "1" for each in (first, second)]
    if first is None or second is None or first.shape != second.shape:
        return Tensors(name, " / ".join(shapes), None, None)
    a, b = first.double().flatten(), second.double().flatten()
    size, other = float(torch.linalg.vector_norm(a)), float(torch.linalg.vector_norm(b))
    apart = float(torch.linalg.vector_norm(b - a))
    distance = apart / size if size else math.inf if apart else 0.0
    return Tensors(name, shapes[0], distance, float(a @ b) / (size * other) if size and other else None)
