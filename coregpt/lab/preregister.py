"""The study as it was declared before its first run, on record; a later change makes it exploratory."""

import itertools
from pathlib import Path
from typing import Any

from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.differences import flatten
from coregpt.lab.store import RunFolder
from coregpt.lab.study import Plan

SHOWN_CHANGES = 4


def register(plan: Plan, store: Path) -> str:
    """Record the declaration unless it is the latest on record; returns why the study is exploratory, or "".

    A study is exploratory from the moment its declaration changed while runs of an earlier one were complete.
    """
    study, path = plan.study, store / "studies" / f"{plan.study.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = read_json(path) or {"declared": []}
    declared: list[dict[str, Any]] = record["declared"]
    runs = sorted(run.id for run in plan.runs)
    if not declared or declared[-1]["digest"] != study.digest:
        earlier = sorted({id_ for entry in declared for id_ in entry["runs"]})
        complete = sum(RunFolder(store / id_).result() is not None for id_ in earlier)
        declared.append(
            {"digest": study.digest, "study": study.preregistration(), "runs": runs, "complete_before": complete}
        )
        write_json(path, record)
    elif set(runs) - set(declared[-1]["runs"]):
        declared[-1]["runs"] = sorted({*runs, *declared[-1]["runs"]})
        write_json(path, record)
    return amendments(declared)


def amendments(declared: list[dict[str, Any]]) -> str:
    """What changed after results could be seen: `amended when 4 runs were complete: test.alpha 0.05 -> 0.1`."""
    found = []
    for before, after in itertools.pairwise(declared):
        if after["complete_before"]:
            runs = after["complete_before"]
            number = "1 run was" if runs == 1 else f"{runs} runs were"
            found.append(f"amended when {number} complete: {_changed(before['study'], after['study'])}")
    return "; ".join(found)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> str:
    old, new = flatten(before), flatten(after)
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    parts = [f"{key} {old.get(key, 'absent')} -> {new.get(key, 'absent')}" for key in keys[:SHOWN_CHANGES]]
    more = len(keys) - SHOWN_CHANGES
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")
