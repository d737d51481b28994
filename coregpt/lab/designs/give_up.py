"""Screens that take one seed at a time and leave a clear loser early: `stage: screen` with `test: {give_up: 0.05}`.

Both arms run seed after seed. After each the arm is given up if its chance to come out as a candidate is below what is
declared (`stats.giving_up`). What is decided follows from the results on disk alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coregpt.lab.designs.design import Decision, Design, Task
from coregpt.lab.records.losses import final
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.chaining import screens
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.problems import Problem
from coregpt.stats.looks.giving_up import Screening, replay


class GiveUp(Design):
    """One seed at a time, while there is a chance."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if test.get("give_up") is not None:
            yield "test.give_up"

    def test_problems(self, file: StudyFile, test: Mapping[str, Any], arms: int, seeds: int) -> Iterator[Problem]:
        if test.get("give_up") is None:
            return
        if file.stage != "screen":
            yield ("give_up",), "belongs to 'stage: screen', which looks for candidates"
        if test.get("pilot") is True:
            yield ("give_up",), "leaves an arm for want of prospects, and a pilot has none; remove one of them"
        if arms > 2:
            yield ("give_up",), f"is for one arm beside the baseline, not {arms - 1}: screen each in a study of its own"

    def wave(self, plan: Plan, store: Path) -> Iterator[Task] | None:
        """Both arms of every seed so far, and of the next one while the arm is not given up."""
        rule = rule_of(plan.study)
        if rule is None:
            return None
        d = gains(plan, store)
        decided, step = replay(rule, d)
        wanted = set(plan.study.seeds[: decided + (step == "go on")])
        return (Task(run) for run in plan.runs if run.seed in wanted)

    def decisions(self, plan: Plan, store: Path) -> dict[str, Decision]:
        rule = rule_of(plan.study)
        if rule is None:
            return {}
        seeds, step = replay(rule, gains(plan, store))
        words = "given up after {n} seeds: it will hardly come out as a candidate"
        return {treatment(plan): Decision(seeds, "futile", words)} if step == "futile" else {}

    def fresh(self, study: Study) -> Study:
        return replace(study, criterion=study.criterion.model_copy(update={"give_up": None}))

    def told_of_test(self, plan: Plan, sd: float) -> list[str]:
        """The limits on t."""
        rule = rule_of(plan.study)
        if rule is None:
            return []
        limits = ", ".join(f"{rule.limit(n):.2f} after {n}" for n in range(2, rule.seeds))
        return [
            f"One seed at a time: given up once its chance to come out as a candidate is under {rule.chance:.0%}: "
            f"where t of the gains so far is below {limits} seeds."
        ]


def rule_of(study: Study) -> Screening | None:
    """None for a study that runs every seed."""
    test = study.criterion
    return None if test.give_up is None else Screening(len(study.seeds), test.alpha, test.give_up)


def treatment(plan: Plan) -> str:
    """The arm that is looked at."""
    return next(arm.name for arm in plan.study.compared if arm.name != plan.baseline.name)


def gains(plan: Plan, store: Path) -> NDArray[np.float64]:
    """Baseline minus arm in seed order, up to the first seed that one of them has not ended; diverged is infinite."""
    assert screens(plan.study)
    found = {(run.arm, run.seed): final(RunFolder(store / run.id), plan.study.reads) for run in plan.runs}
    pairs = []
    for seed in plan.study.seeds:
        baseline, arm = found[plan.baseline.name, seed], found[treatment(plan), seed]
        if baseline is None or arm is None:
            break
        pairs.append((baseline, arm))
    values = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    with np.errstate(invalid="ignore"):
        gain: NDArray[np.float64] = values[:, 0] - values[:, 1]
    return gain
