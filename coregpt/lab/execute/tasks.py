"""What a study still has to execute, given what is on disk: the same answer in every process that asks.

A study runs in waves. Most need one: every run to its end. Designs that decide on the way are asked
again after each wave; nothing is remembered between waves but run folders.
"""

import random
from collections.abc import Iterable
from pathlib import Path

from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.design import Task
from coregpt.lab.study.outline import Plan, PlannedRun


def missing(plan: Plan, store: Path) -> list[Task]:
    """The next wave: tasks that can be executed now, in the order in which they will be; empty once all is done."""
    return [task for task in block_order(wave(plan, store), plan.study.digest) if not task.done(store)]


def wave(plan: Plan, store: Path) -> list[Task]:
    """Every task known to be needed so far, complete ones included."""
    for design in DESIGNS:
        found = design.wave(plan, store)
        if found is not None:
            return list(found)
    return [Task(run) for run in plan.runs]


def everything(plan: Plan, store: Path) -> bool:
    """Whether the tasks known by now take every run to its end, so that nothing that ends can bring new ones."""
    return {run.id for run in plan.runs} <= {task.run.id for task in wave(plan, store) if task.until is None}


def known(plan: Plan, store: Path) -> int:
    """How many runs to speak of: all of the plan, or those that a design knows to be needed so far."""
    found = (design.known(plan, store) for design in DESIGNS)
    return next((number for number in found if number is not None), len(plan.runs))


def left(plan: Plan, store: Path) -> list[PlannedRun]:
    """Every run that will be executed from now on, those included that wait for another one's end."""
    coming = [task.run for task in missing(plan, store)]
    waiting = [run for run in plan.runs if plan.trunks and not Task(run).done(store)]
    return coming + [run for run in waiting if run not in coming]


def block_order(tasks: Iterable[Task], digest: str) -> list[Task]:
    """All arms of the first seed, then of the next; the order of arms within a seed is shuffled, reproducibly.

    A machine that slows down or fails half-way then harms all arms alike.
    """
    blocks: dict[int, list[Task]] = {}
    for task in tasks:
        blocks.setdefault(task.run.seed, []).append(task)
    for seed, block in blocks.items():
        random.Random(f"{digest}/{seed}").shuffle(block)
    return [task for block in blocks.values() for task in block]
