"""What the runs were computed with, and whatever was not the same for all of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from coregpt.lab.planning.preregister import data_digest
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.environment import EnvironmentFacts, environment_digest
from coregpt.report.facts.inputs import Confound


def environment(plan: Plan, store: Path, more: Iterable[str] = ()) -> EnvironmentFacts:
    """What the runs were computed with, and a warning for everything that was not the same for all of them.

    `more` is warned of beside.
    """
    by_key: dict[str, dict[str, set[str]]] = {}
    warnings = []
    for run in plan.runs:
        folder = RunFolder(store / run.id)
        for key, value in folder.environment().items():
            by_key.setdefault(key, {}).setdefault(value, set()).add(run.arm)
        warnings += [f"{run.arm}, seed {run.seed}: {note}" for note in (folder.result() or {}).get("notes", ())]
    for key, arms_of in sorted(by_key.items()):
        if len(arms_of) > 1:
            warnings.append(f"{key} differs between runs: {_who(arms_of)}")
    values = {key: " / ".join(sorted(arms_of)) for key, arms_of in by_key.items()}
    digest = environment_digest(values, data_digest(plan))
    return EnvironmentFacts(values=values, warnings=(*warnings, *more), digest=digest)


def compiled(plan: Plan, store: Path) -> tuple[Confound, ...]:
    """How many complete runs of each arm were compiled as asked, if only some of all were: numbers differ a little."""
    alike: dict[str, list[bool]] = {}
    for run in plan.runs:
        result = RunFolder(store / run.id).result() if run.config.compile else None
        if result is not None:
            alike.setdefault(run.arm, []).append(
                not any(note.startswith("not compiled") for note in result.get("notes", ()))
            )
    if len({each for found in alike.values() for each in found}) < 2:
        return ()
    values = {arm: f"{sum(found)} of {len(found)}" for arm, found in alike.items()}
    return (Confound(setting="compiled runs", values=values),)


def _who(arms_of: Mapping[str, set[str]]) -> str:
    return "; ".join(f"{value} ({', '.join(sorted(arms))})" for value, arms in sorted(arms_of.items()))
