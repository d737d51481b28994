"""The A/A floor: one arm over a grid of initial weights x data orders, and the same run executed again.

The grid is an ordinary study whose arms are data orders and whose seeds are initial weights, so its runs are
launched, kept and shared like any others: its diagonal (both seeds equal) is the baseline of a comparison.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import ConfigError, RunError
from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.records import losses
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.identity import run_id
from coregpt.lab.study.outline import Plan, PlannedRun

FEWEST = 2
"""Levels of each factor, and executions of the repeated run: one has no variance."""


@dataclass(frozen=True)
class Grid:
    """How many initial weights and data orders are crossed, and how often the first cell is executed."""

    inits: int = 3
    orders: int = 3
    repeats: int = 2

    def check(self) -> None:
        """Raises ConfigError for a grid that cannot tell the sources of variance apart."""
        for option, value in (("--init", self.inits), ("--data", self.orders), ("--repeats", self.repeats)):
            if value < FEWEST:
                raise ConfigError(f"{option} must be at least {FEWEST}, got {value}: one value has no variance")


@dataclass(frozen=True)
class Measured:
    """Final losses on `select` of the grid, (inits, orders), and of every execution of its first cell, (repeats,)."""

    values: NDArray[np.float64]
    repeats: NDArray[np.float64]


def cell(made: Plan, init: int, order: int, arm: str, study: Study) -> PlannedRun:
    """The baseline of a plan with its own seed for initial weights and for the order of data."""
    like = next(run for run in made.runs if run.arm == made.baseline.name)
    config = like.config.model_copy(update={"seed": init, "data_seed": order})
    id_ = run_id(config, like.record["plugins"], like.record["data"])
    record = {
        **{key: value for key, value in like.record.items() if key not in like.part.record()},
        "id": id_,
        "config": config.model_dump(mode="json"),
        "planned_by": {"study": study.name, "digest": study.digest},
    }
    return PlannedRun(id_, arm, init, config, record, like.plugin_files)


def noise_plan(made: Plan, grid: Grid) -> Plan:
    """The baseline with every pair of seeds, as a plan of its own. Raises ConfigError for too small a grid."""
    grid.check()
    base = made.baseline
    names = [f"{base.name} order {order}" for order in range(grid.orders)]
    crossed = replace(
        made.study,
        name=f"{made.study.name}-noise",
        arms=tuple(replace(base, name=name) for name in names),
        seeds=tuple(range(grid.inits)),
        criterion=made.study.criterion.model_copy(update={"baseline": names[0]}),
        techniques=(),
        designs={},
        reads="select",
    )
    runs = [cell(made, init, order, names[order], crossed) for order in range(grid.orders) for init in crossed.seeds]
    costs = dict.fromkeys(names, made.costs[base.name])
    derived = dict.fromkeys(names, made.derived[base.name])
    return Plan(crossed, costs, derived, made.source, tuple(runs))


def repeat_store(store: Path, number: int) -> Path:
    """Where the given execution (1 is the first) of the repeated run lives: apart, for its id is the same."""
    return store if number == 1 else store / "repeats" / str(number)


def repeated(plan: Plan) -> Plan:
    """The plan of the one run that is executed again."""
    return replace(plan, runs=plan.runs[:1])


def measured(plan: Plan, store: Path, grid: Grid) -> Measured:
    """The results. Raises RunError naming the runs that are missing or diverged: a grid with holes has no answer."""
    found, bad = [], []
    for run in plan.runs:
        value = final(run, store)
        found.append(value)
        if not math.isfinite(value):
            bad.append(f"{run.arm}, init {run.seed}")
    again = [final(plan.runs[0], repeat_store(store, number)) for number in range(1, grid.repeats + 1)]
    bad += [f"execution {i + 1} of the first run" for i, value in enumerate(again) if not math.isfinite(value)]
    if bad:
        raise RunError(f"the noise cannot be split, these runs have no final value: {'; '.join(bad)}")
    return Measured(np.array(found).reshape(grid.orders, grid.inits).T, np.array(again))


def final(run: PlannedRun, store: Path) -> float:
    """Final loss of a run on `select`, NaN if it has none."""
    found = losses.final(RunFolder(store / run.id), "select")
    return math.nan if found is None or not math.isfinite(found) else found


def record(plan: Plan, store: Path, facts: dict[str, Any]) -> None:
    """Keep what was found where `recorded` finds it for every study with this baseline."""
    folder = store / "noise"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{plan.runs[0].id}.json", facts)


def recorded(made: Plan, store: Path) -> dict[str, Any] | None:
    """What `record` kept for the baseline of an ordinary plan, if settings, code and data are still the same."""
    return read_json(store / "noise" / f"{cell(made, 0, 0, '', made.study).id}.json")
