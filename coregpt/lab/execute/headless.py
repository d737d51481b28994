"""Runs whose folder lost the file that says what they are: their results are nobody's, so they are repeated."""

from collections.abc import Iterable
from pathlib import Path

from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import PlannedRun


def repeat_headless(runs: Iterable[PlannedRun], store: Path) -> list[str]:
    """Take the result of every such run away, as its config.json was; what to say of each.

    No living run is like that: config.json is written before anything else, result.json after all of it.
    """
    said = []
    for run in runs:
        folder = RunFolder(store / run.id)
        if folder.result_file.exists() and not folder.config_file.exists():
            folder.result_file.unlink(missing_ok=True)
            said.append(f"{run.arm}, seed {run.seed}: {folder.path} has lost its config.json; the run is repeated")
    return said
