"""Runs that are there and were looked at too seldom for a study: they are trained again, to the same result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.execute.jobs import name
from coregpt.lab.execute.rerun import refuse_elsewhere, start_over
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.readings import lacking, unread
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.lab.study.whereabouts import where


def repeats(plan: Plan, store: Path, on_cluster: bool = False) -> list[str]:
    """What to say of them; nothing where there are none.

    Raises ConfigError for one that would come to another result here, and so count for no study any longer.
    """
    found = [
        (run, lacks) for run in (*plan.trunks, *plan.runs) if (lacks := lacking(RunFolder(store / run.id), run.needs))
    ]
    for run, lacks in found:
        try:
            refuse_elsewhere(RunFolder(store / run.id), run.config, on_cluster)
        except ConfigError as error:
            raise ConfigError(
                f"{where(plan.study, 'test')}: needs {run.arm}, seed {run.seed}, evaluated {unread(lacks)}, which it "
                f"was not, and to train it again: {error}. Keep this study's runs apart (--runs DIR)"
            ) from None
    if not found:
        return []
    what = "1 run is" if len(found) == 1 else f"{len(found)} runs are"
    they = "It is" if len(found) == 1 else "They are"
    return [
        f"{what} there, and not evaluated as this study needs ({unread(found[0][1])}). {they} trained again, to the "
        "same result."
    ]


class StartedOver:
    """The runs that one launcher has begun anew because they had gone by a reading that its study needs."""

    def __init__(self, ledger: Ledger):
        self.ledger, self.runs = ledger, set[str]()

    def where_lacking(self, run: PlannedRun, folder: RunFolder, about: Mapping[str, Any]) -> str:
        """Begin a claimed run anew if it lacks one; what to say of it, "" if it lacks none."""
        lacks = lacking(folder, run.needs)
        if not lacks:
            return ""
        self.runs.add(run.id)
        start_over(folder, about, f"not evaluated {unread(lacks)}", self.ledger)
        folder.create(run.record, run.plugin_files)
        return f"{name(run)} is trained again: it was not evaluated {unread(lacks)}"

    def in_vain(self, run: PlannedRun, folder: RunFolder) -> str:
        """Why it would be no use to begin a run anew once more; "" if it was not, or has all readings."""
        lacks = lacking(folder, run.needs) if run.id in self.runs else []
        return f"it was again not evaluated {unread(lacks)}" if lacks else ""
