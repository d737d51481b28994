"""Studies of programs that are not ours (`command:`): is the seed used, and do equal seeds give equal numbers?

Both are asked before more is spent. The baseline's first run is made twice with one seed, and its first two seeds are
held against each other; the other runs begin when these two are there.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.design import Design, Task
from coregpt.lab.records.losses import METRIC, along
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import StudyFile
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.whereabouts import where

NAME = "command"
TRIALS = 2
"""Seeds of the baseline that are looked at first."""


class Command(Design):
    """The baseline's first two seeds before all others."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if says(file):
            yield NAME

    def file_problems(self, file: StudyFile) -> Iterator[Problem]:
        if not says(file):
            return
        if file.equal != "tokens":
            yield ("equal",), "what a program spends is its own affair and is not counted here; remove it"
        if file.gpus_per_run == "auto":
            yield ("gpus_per_run",), "auto measures our trainer; say how many GPUs the program uses"
        if file.plugin_files:
            yield ("plugin_files",), "holds techniques of our trainer, and a command has none; remove it"

    def wave(self, plan: Plan, store: Path) -> list[Task] | None:
        """Raises ConfigError if the first two seeds gave the same numbers."""
        if foreign(plan.baseline.run) is None:
            return None
        first = trials(plan)
        if len(first) < TRIALS:
            return None
        curves = [told(RunFolder(store / run.id)) for run in first]
        if any(curve is None for curve in curves):
            return [Task(run) for run in first]
        if curves[0] == curves[1] and curves[0]:
            raise ConfigError(same_seeds(plan, first))
        return None

    def told_of_test(self, plan: Plan, sd: float) -> list[str]:
        if foreign(plan.baseline.run) is None:
            return []
        return [
            f"First {plan.baseline.name} with seeds {first_seeds(plan)}, its first run twice: is the seed used, and "
            "do equal seeds give equal numbers? Loss, tokens and sizes are as the program reports them."
        ]


def says(file: StudyFile) -> bool:
    """Whether any layer of a file has a command."""
    layers = (file.base, *(file.arms or {}).values(), *file.scales.values(), *file.sizes.values())
    return any(NAME in layer for layer in layers if isinstance(layer, dict))


def trials(plan: Plan) -> list[PlannedRun]:
    """The runs that are made first: the baseline's, and of these the first one twice."""
    own = [run for run in plan.runs if run.arm == plan.baseline.name]
    return own[:TRIALS]


def first_seeds(plan: Plan) -> str:
    return " and ".join(str(run.seed) for run in trials(plan))


def told(folder: RunFolder) -> list[tuple[float, float]] | None:
    """Steps and losses as the program told them; None while the run is not complete."""
    if folder.result() is None:
        return None
    return [(row["step"], row[METRIC["select"]]) for row in along(folder.rows(), "select")]


def same_seeds(plan: Plan, runs: list[PlannedRun]) -> str:
    """What to say, and do, of a seed that does nothing."""
    one, other = (run.seed for run in runs)
    return (
        f"{where(plan.study, 'base', NAME)}: seeds {one} and {other} of '{plan.baseline.name}' gave the same numbers "
        "to the last digit, so the seed does nothing and more runs would be one observation. The usual reasons: the "
        "program has a fixed seed of its own (put {seed} there with edit), the option is not read, the seed is set "
        f"after what is random, or too few digits are printed to tell. Look at: coregpt logs {runs[0].id}"
    )
