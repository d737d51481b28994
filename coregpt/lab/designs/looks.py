"""Studies that may decide an arm before all of its seeds are run, and what of them has to be executed now.

`test: {looks: [4, 8, 12]}` decides at planned numbers of seeds, `test: {anytime: true}` after every seed. Which arms
are decided follows from the results on disk alone; the ledger's entries are for the record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coregpt.lab.designs.design import Decision, Design, Task
from coregpt.lab.progress import aligned
from coregpt.lab.records.losses import final
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.problems import Problem
from coregpt.stats.design import Design as Test
from coregpt.stats.looks.sequential import FIRST_LOOK
from coregpt.stats.looks.sequential import Looks as Planned
from coregpt.stats.looks.stopping import (
    Course,
    Expected,
    Rule,
    detectable_gain,
    expect,
    fewest_anytime,
    make_rule,
    replay,
    stopping_design,
)

Vector = NDArray[np.float64]
STUDIES = 4000
"""That are simulated to say what a plan can expect."""


class Looks(Design):
    """`looks` at planned numbers of seeds, `anytime` after every seed."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        yield from (f"test.{key}" for key in ("looks", "anytime") if test.get(key))

    def test_problems(self, file: StudyFile, test: Mapping[str, Any], arms: int, seeds: int) -> Iterator[Problem]:
        for key in ("spending", "futility"):
            if test.get(key) is not None and not test.get("looks"):
                yield (key,), "belongs to 'looks: [4, 8, 12]', the numbers of seeds after which arms are looked at"
        for key in ("looks", "anytime"):
            if test.get(key) and test.get("pilot") is True:
                yield (key,), "decides arms early, and a pilot decides nothing; remove one of them"
        yield from _wrong_looks(test.get("looks"), seeds)
        alpha = test.get("alpha", 0.05)
        if test.get("anytime") is True and seeds and isinstance(alpha, float) and 0 < alpha < 0.5:
            fewest = fewest_anytime(alpha, max(arms - 1, 1))
            if seeds < fewest:
                yield ("anytime",), f"{seeds} seeds can never decide anything at alpha {alpha:g}; at least {fewest} can"

    def test(self, study: Study, sd: float) -> tuple[Test, float | None] | None:
        rule = rule_of(study)
        if rule is None:
            return None
        return stopping_design(rule, len(study.compared) - 1), detectable_gain(rule, sd, study.criterion.power)

    def wave(self, plan: Plan, store: Path) -> Iterator[Task] | None:
        """Runs up to the next look of every undecided arm and up to the last one of the others, and the baseline's."""
        if rule_of(plan.study) is None:
            return None
        seeds = {name: course.needs or course.looks[-1].n for name, course in courses(plan, store).items()}
        seeds[plan.baseline.name] = max(seeds.values())
        order = {seed: place for place, seed in enumerate(plan.study.seeds)}
        return (Task(run) for run in plan.runs if order[run.seed] < seeds[run.arm])

    def decisions(self, plan: Plan, store: Path) -> dict[str, Decision]:
        if rule_of(plan.study) is None:
            return {}
        decided = {arm: course for arm, course in courses(plan, store).items() if not course.needs}
        return {
            arm: Decision(course.looks[-1].n, course.decision, WORDS[course.decision])
            for arm, course in decided.items()
        }

    def fresh(self, study: Study) -> Study:
        unused = {"looks": (), "spending": None, "futility": None, "anytime": False}
        return replace(study, criterion=study.criterion.model_copy(update=unused))

    def told_of_test(self, plan: Plan, sd: float) -> list[str]:
        """Boundaries, and how many runs to expect."""
        rule, study = rule_of(plan.study), plan.study
        return [] if rule is None else expected_lines(rule, study, len(plan.runs), sd)


WORDS = {
    "reject": "decided after {n} seeds: it differs from the baseline",
    "futile": "given up after {n} seeds: the gain that was hoped for is unlikely",
    "accept": "no difference shown at the last look, after {n} seeds",
}


def _wrong_looks(looks: Any, seeds: int) -> Iterator[Problem]:
    if not isinstance(looks, list) or not looks or any(type(size) is not int for size in looks):
        return
    if any(after <= before for before, after in pairwise(looks)):
        yield ("looks",), f"numbers of seeds must rise, such as [4, 8, 12], got {looks}"
    elif looks[0] < FIRST_LOOK:
        yield ("looks",), f"the first look needs at least {FIRST_LOOK} seeds, got {looks[0]}"
    elif seeds and looks[-1] != seeds:
        yield ("looks",), f"the last look must come after all {seeds} seeds, got {looks}"


def rule_of(study: Study) -> Rule | None:
    """How each arm is decided; None for a study that decides after all seeds."""
    test = study.criterion
    if not test.looks and not test.anytime:
        return None
    return make_rule(
        test.looks or (len(study.seeds),),
        test.alpha,
        len(study.compared) - 1,
        anytime=test.anytime,
        spending=test.spending or "pocock",
        gain=test.futility,
        power=test.power,
    )


def courses(plan: Plan, store: Path) -> dict[str, Course]:
    """The looks at every arm that results on disk allow."""
    rule, values = rule_of(plan.study), final_values(plan, store)
    assert rule is not None
    baseline = values.pop(plan.baseline.name)
    return {arm: replay(rule, baseline, own) for arm, own in values.items()}


def final_values(plan: Plan, store: Path) -> dict[str, Vector]:
    """Per arm in seed order: the final loss, inf where the run diverged, NaN where it is not complete.

    On `held_out`: a look is a test, and its level counts every one of them.
    """
    found = {arm.name: [float("nan")] * len(plan.study.seeds) for arm in plan.study.compared}
    order = {seed: place for place, seed in enumerate(plan.study.seeds)}
    for run in plan.runs:
        loss = final(RunFolder(store / run.id), "held_out")
        if loss is not None:
            found[run.arm][order[run.seed]] = loss
    return {arm: np.array(values) for arm, values in found.items()}


# -- told by the plan ---------------------------------------------------------------------------------------------


def expected_lines(rule: Rule, study: Study, runs: int, sd: float) -> list[str]:
    """When arms are decided, and on average after how many seeds."""
    margin, arms = study.criterion.margin, len(study.compared) - 1
    effects = {"no effect": 0.0, f"a gain of {margin:g} (the margin)": margin}
    if isinstance(rule, Planned) and rule.gain is not None and rule.gain != margin:
        effects[f"a gain of {rule.gain:g} (futility)"] = rule.gain
    lines = [f"An arm is decided once its e-value is {1 / rule.alpha:g}."]
    if isinstance(rule, Planned):
        lines = boundaries(rule)
    rows = [["if every arm has", "seeds per arm", f"runs of {runs}", "found", "given up"]]
    for name, effect in effects.items():
        rows.append([name, *_expected(expect(rule, effect, sd, arms, studies=STUDIES))])
    return [
        *lines,
        *aligned(rows),
        f"On average over {STUDIES:,} simulated studies, sd of a paired difference {sd:.2g}.",
    ]


def boundaries(rule: Planned) -> list[str]:
    """The |t| that decides at each look, and the one below the futility gain that gives up."""
    head = ["after seeds", "decided if |t| >"]
    futile = rule.futility
    if futile is None:
        return aligned([head, *([str(n), f"{t:.3f}"] for n, t in zip(rule.sizes, rule.boundaries, strict=True))])
    given_up = [*(f"{t:.3f}" for t in futile[:-1]), ""]
    each = zip(rule.sizes, rule.boundaries, given_up, strict=True)
    return aligned(
        [[*head, f"given up if t of {rule.gain:g} - gain >"], *([str(n), f"{t:.3f}", u] for n, t, u in each)]
    )


def _expected(found: Expected) -> list[str]:
    return [f"{found.pairs:.1f}", f"{found.runs:.1f}", f"{found.rejected:.1%}", f"{found.futile:.1%}"]
