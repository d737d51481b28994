"""Results that tell what a study's own runs will come to: of runs that trained the same, and were read otherwise.

Another `eval_tokens` makes another run, whose final loss is the same but for the tokens that it is measured on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coregpt.contract.config import RunConfig
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.identity import READ_OR_ROUNDED, canonical, counted
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.part import RunPart

Cells = list[list[str | int]]
"""Id of a run, and the arm and the seed that it has here."""


def known_alike(plan: Plan, store: Path) -> tuple[Cells, Cells]:
    """Complete runs in `store`, none of the plan's, that train what one of them trains; and those that did so by
    another version of the engine, whose numbers are mostly the same ones rounded otherwise."""
    cells = {_trains(run.record): (run.arm, run.seed) for run in plan.runs}
    own, engine = {run.id for run in plan.runs}, plan.runs[0].record["engine"]
    now: Cells = []
    earlier: Cells = []
    for path in sorted(store.glob("*/result.json")):
        folder = RunFolder(path.parent)
        record = folder.config() if folder.config_file.exists() and folder.id not in own else {}
        cell = cells.get(_trains(record)) if "engine" in record else None
        if cell is not None:
            (now if record["engine"] == engine else earlier).append([folder.id, *cell])
    return now, earlier


def _trains(record: Mapping[str, Any]) -> bytes:
    """All that decides what a run trains, but for the engine and rounding; nothing for settings of another version."""
    try:
        whole = RunConfig.model_validate(record["config"]).model_dump(mode="json")  # with what came since
    except ValidationError:
        return b""
    config = {key: value for key, value in counted(whole).items() if key not in READ_OR_ROUNDED}
    code = {key: record[key] for key in ("plugins", "data")}
    return canonical({"config": config, **code, **RunPart.of(record).record()})
