"""Facts about programs: their code side by side, and the run that was made twice."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coregpt.contract.errors import CoreGPTError
from coregpt.lab.command.config import CommandRun
from coregpt.lab.command.edits import edit
from coregpt.lab.command.git import GitError, Scratch, difference
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from coregpt.report.designs.command.words import SAME_CODE
from coregpt.report.facts.program import ProgramArm, ProgramFacts
from coregpt.report.reading.collector import Collector

LONGEST = 200_000
"""Characters of a difference that a report holds."""
FILES = 4
"""That a headline names."""
REPORTED = {"params": "parameters", "tokens": "tokens", "flops": "FLOPs"}


class Command(Collector):
    """What the plan knows of each program, the difference of their code, and what equal seeds came to."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        base = plan.baseline.run
        if not isinstance(base, CommandRun):
            return {}
        own = base.command
        metric = own.metric
        read = f'lines like "{metric.pattern}"' if metric.pattern else f"lines of format {metric.format}"
        read = read if metric.pattern or metric.format else "JSON lines in $COREGPT_METRICS"
        said = ProgramFacts(
            repo=own.repo,
            command=own.run,
            edit=own.edit,
            inputs=own.inputs,
            metric=f"{read}{f' in {metric.file}' if metric.file else ''}",
            final=metric.final,
            time_limit=base.aside.time_limit,
            arms=tuple(_arms(plan, base)),
            unreported=_unreported(plan, store),
            **_repeated(plan, store),
        )
        return {"program": said}


def _arms(plan: Plan, base: CommandRun) -> Iterator[ProgramArm]:
    for arm in plan.study.arms:
        run = arm.run
        if not isinstance(run, CommandRun):
            continue
        own = run.command
        said: dict[str, Any] = {"arm": arm.name, "at": run.aside.at, "commit": own.commit, "patch": own.patch}
        said["subject"] = run.aside.subject
        if arm.name != plan.baseline.name:
            stat, diff = _difference(base, run)
            theirs = {"python": base.aside.version, **base.aside.packages}
            mine = {"python": run.aside.version, **run.aside.packages}
            said |= {"stat": stat, "diff": diff, "packages": tuple(_changes(theirs, mine))}
            said["settings"] = tuple(_changes(_settings(base), _settings(run)))
        yield ProgramArm(**said)


def _settings(run: CommandRun) -> dict[str, str]:
    own = run.command
    return {**{name: str(value) for name, value in own.set.items()}, **own.env, **_inputs(own.inputs), "run": own.run}


def _inputs(inputs: Mapping[str, str]) -> dict[str, str]:
    return {f"reads {name}": digest[:12] for name, digest in inputs.items()}


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"{name} {before.get(name, 'absent')} -> {after.get(name, 'absent')}"


def _difference(base: CommandRun, run: CommandRun) -> tuple[str, str]:
    """Stat and full patch of one arm's code against the baseline's, as both are run."""
    if base.command.tree == run.command.tree:
        return SAME_CODE, ""
    try:
        with tempfile.TemporaryDirectory(prefix="coregpt-diff-") as folder:
            place = Path(folder) / "clone"
            names = [_tree(each, place) for each in (base, run)]
            stat = _short(difference(place, *names, "--numstat"))
            whole = difference(place, *names, "--stat", "--patch")
    except (CoreGPTError, GitError, OSError) as error:
        return "its code cannot be shown", f"{error}"
    if len(whole) > LONGEST:
        whole = f"{whole[:LONGEST]}\n[cut: {len(whole) - LONGEST:,} more characters]\n"
    return stat, whole


def _short(numstat: str) -> str:
    """`train.py +3 -1, model.py +20 -4 and 2 more files`."""
    rows = [line.split("\t") for line in numstat.splitlines()]
    told = [f"{name} +{added} -{gone}" for added, gone, name in rows[:FILES]]
    more = len(rows) - FILES
    return ", ".join(told) + (f" and {more} more files" if more > 0 else "")


def _tree(run: CommandRun, place: Path) -> str:
    """Both trees are kept by the clone that comes last: it shares the objects of the one before."""
    kept = place.with_name("kept")
    if (place / ".git").exists():
        (place / ".git" / "objects").rename(kept)
    made = Scratch(place).tree(Path(run.aside.place), run.version(), lambda at: edit(at, run.command.edit, None))
    if kept.exists():
        with (place / ".git" / "objects" / "info" / "alternates").open("a") as file:
            file.write(f"{kept}\n")
    return made


def _unreported(plan: Plan, store: Path) -> tuple[str, ...]:
    """What not every finished run told of itself."""
    results = [RunFolder(store / run.id).result() or {} for run in plan.runs]
    said = [result["reported"].keys() for result in results if "reported" in result]
    return tuple(word for name, word in REPORTED.items() if not said or not all(_tells(each, name) for each in said))


def _tells(said: Any, name: str) -> bool:
    return name in said or (name == "params" and "parameters" in said)


def _repeated(plan: Plan, store: Path) -> dict[str, Any]:
    first = next(run for run in plan.runs if run.arm == plan.baseline.name)
    result = RunFolder(store / first.id).result() or {}
    if "repetition" not in result:
        return {}
    again = result["repetition"]
    return {"repeated_seed": first.seed, "repeated": (result["value"], again["value"]), "same": again["same"]}
