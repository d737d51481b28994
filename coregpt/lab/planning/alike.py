"""Results that tell what a study's own runs will come to: of runs that trained the same, and were read otherwise.

Another `eval_tokens` makes another run, whose final loss is the same but for the tokens that it is measured on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.identity import READ_OR_ROUNDED, canonical, counted
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.part import RunPart


def known_alike(plan: Plan, store: Path) -> list[list[str | int]]:
    """Complete runs in `store`, none of the plan's, that train what one of them trains: id, and arm and seed here."""
    cells = {_trains(run.record): (run.arm, run.seed) for run in plan.runs}
    own, engine = {run.id for run in plan.runs}, plan.runs[0].record["engine"]
    found: list[list[str | int]] = []
    for path in sorted(store.glob("*/result.json")):
        folder = RunFolder(path.parent)
        record = folder.config() if folder.config_file.exists() and folder.id not in own else {}
        cell = cells.get(_trains(record)) if record.get("engine") == engine else None
        if cell is not None:
            found.append([folder.id, *cell])
    return found


def _trains(record: Mapping[str, Any]) -> bytes:
    """All that decides what a run trains, but for rounding."""
    config = {key: value for key, value in counted(record["config"]).items() if key not in READ_OR_ROUNDED}
    code = {key: record[key] for key in ("engine", "plugins", "data")}
    return canonical({"config": config, **code, **RunPart.of(record).record()})
