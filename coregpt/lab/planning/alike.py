"""Results that tell what a study's own runs will come to: of runs that trained the same, and were read otherwise.

Another `eval_tokens` makes another run, whose final loss is the same but for the tokens that it is measured on.

What a run trains never changes, so it is read from its folder once and kept in an index beside the runs: a loop of many
small studies would read all folders for each of them otherwise. The index is no record: without it all is read again.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import CoreGPTError
from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.identity import READ_OR_ROUNDED, WATCHING, canonical, counted, engine_digest
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.part import RunPart

INDEX = ".trains.json"
"""In the folder of runs."""

Cells = list[list[str | int]]
"""Id of a run, and the arm and the seed that it has here."""


def known_alike(plan: Plan, store: Path) -> tuple[Cells, Cells]:
    """Complete runs in `store`, none of the plan's, that train what one of them trains; and those that did so by
    another version of the engine, whose numbers are mostly the same ones rounded otherwise."""
    cells = {_digest(run.record): (run.arm, run.seed) for run in plan.runs}
    own, engine = {run.id for run in plan.runs}, plan.runs[0].record["engine"]
    now: Cells = []
    earlier: Cells = []
    for run, (trains, theirs) in sorted(_indexed(store).items()):
        cell = cells.get(trains) if trains and run not in own else None
        if cell is not None and RunFolder(store / run).result_file.exists():
            (now if theirs == engine else earlier).append([run, *cell])
    return now, earlier


def _indexed(store: Path) -> dict[str, tuple[str, str]]:
    """By id of every run that was ever seen complete: digest of what it trains, and its engine."""
    file, by = store / INDEX, [engine_digest(), *sorted(READ_OR_ROUNDED | WATCHING)]
    try:
        kept = read_json(file) or {}
        known = {str(run): (str(trains), str(engine)) for run, (trains, engine) in kept["runs"].items()}
        known = known if kept["by"] == by else {}
    except (CoreGPTError, AttributeError, KeyError, TypeError, ValueError):  # damaged: made anew
        known = {}
    new = {}
    for path in store.iterdir():
        folder = RunFolder(path)
        if folder.id not in known and folder.result_file.exists() and folder.config_file.exists():
            record = folder.config()
            new[folder.id] = (_digest(record), str(record.get("engine", "")))
    if new:
        with contextlib.suppress(OSError, CoreGPTError):  # where nothing may be written it is read again
            write_json(file, {"by": by, "runs": {**known, **new}})
    return {**known, **new}


def _digest(record: Mapping[str, Any]) -> str:
    """Of what a run trains; empty for settings of another version, and for what is no run of the trainer's."""
    trains = _trains(record) if "engine" in record else b""
    return hashlib.sha256(trains).hexdigest()[:32] if trains else ""


def _trains(record: Mapping[str, Any]) -> bytes:
    """All that decides what a run trains, but for the engine and rounding; nothing for settings of another version."""
    try:
        whole = RunConfig.model_validate(record["config"]).model_dump(mode="json")  # with what came since
    except ValidationError:
        return b""
    config = {key: value for key, value in counted(whole).items() if key not in READ_OR_ROUNDED}
    code = {key: record[key] for key in ("plugins", "data")}
    return canonical({"config": config, **code, **RunPart.of(record).record()})
