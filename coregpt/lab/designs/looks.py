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

from coregpt.lab.designs import abort
from coregpt.lab.designs.short_baseline import ADAPTIVE
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.lab.study.problems import Problem
from coregpt.stats.partial import ABORT_BELOW, FEWEST_SEEDS
from coregpt.stats.sequential import FIRST_LOOK
from coregpt.stats.stopping import Course, Rule, fewest_anytime, make_rule, replay

Vector = NDArray[np.float64]


def problems(file: StudyFile, test: Mapping[str, Any], arms: int, seeds: int) -> Iterator[Problem]:
    """What looks, an e-value or an abort cannot be combined with, by the keys under `test`."""
    used = [key for key in ADAPTIVE if test.get(key)]
    for key in used[1:]:
        yield (key,), f"'{used[0]}' and '{key}' are two ways to spend less; choose one"
    for key in used:
        if file.mode == "factorial":
            yield (key,), "'mode: factorial' asks for effects and interactions, which need every run; remove it"
        if file.sizes:
            yield (key,), "a trend over sizes needs every run to its end; remove it, or declare one size"
    if test.get("abort") and file.match == "seconds":
        yield ("abort",), "'match: seconds' gives each arm steps of its own, so no step is half-way for all; remove one"
    for key in ("spending", "futility"):
        if test.get(key) is not None and not test.get("looks"):
            yield (key,), "belongs to 'looks: [4, 8, 12]', the numbers of seeds after which arms are looked at"
    yield from _wrong_looks(test.get("looks"), seeds)
    yield from _wrong_count(test, arms, seeds)


def _wrong_looks(looks: Any, seeds: int) -> Iterator[Problem]:
    if not isinstance(looks, list) or not looks or any(type(size) is not int for size in looks):
        return
    if any(after <= before for before, after in pairwise(looks)):
        yield ("looks",), f"numbers of seeds must rise, such as [4, 8, 12], got {looks}"
    elif looks[0] < FIRST_LOOK:
        yield ("looks",), f"the first look needs at least {FIRST_LOOK} seeds, got {looks[0]}"
    elif seeds and looks[-1] != seeds:
        yield ("looks",), f"the last look must come after all {seeds} seeds, got {looks}"


def _wrong_count(test: Mapping[str, Any], arms: int, seeds: int) -> Iterator[Problem]:
    alpha = test.get("alpha", 0.05)
    if test.get("anytime") is True and seeds and isinstance(alpha, float) and 0 < alpha < 0.5:
        fewest = fewest_anytime(alpha, max(arms - 1, 1))
        if seeds < fewest:
            yield ("anytime",), f"{seeds} seeds can never decide anything at alpha {alpha:g}; at least {fewest} can"
    if test.get("abort") is not None and 0 < seeds < FEWEST_SEEDS:
        yield ("abort",), f"needs at least {FEWEST_SEEDS} seeds to know how runs scatter after it, got {seeds}"


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


def without_stops(study: Study) -> Study:
    """The study with every run to its end: what fresh seeds are compared with needs no early decision."""
    unused = {"looks": (), "spending": None, "futility": None, "anytime": False, "abort": None}
    return replace(study, criterion=study.criterion.model_copy(update=unused))


def needed(plan: Plan, store: Path) -> list[PlannedRun]:
    """Runs up to the next look of every undecided arm and up to the last one of the others, and the baseline's."""
    seeds = {name: course.needs or course.looks[-1].n for name, course in courses(plan, store).items()}
    seeds[plan.baseline.name] = max(seeds.values())
    order = {seed: place for place, seed in enumerate(plan.study.seeds)}
    return [run for run in plan.runs if order[run.seed] < seeds[run.arm]]


def courses(plan: Plan, store: Path) -> dict[str, Course]:
    """The looks at every arm that results on disk allow."""
    rule, values = rule_of(plan.study), final_values(plan, store)
    assert rule is not None
    baseline = values.pop(plan.baseline.name)
    return {arm: replay(rule, baseline, own) for arm, own in values.items()}


def final_values(plan: Plan, store: Path) -> dict[str, Vector]:
    """Per arm in seed order: the final value, inf where the run diverged, NaN where it is not complete."""
    found = {arm.name: [float("nan")] * len(plan.study.seeds) for arm in plan.study.compared}
    order = {seed: place for place, seed in enumerate(plan.study.seeds)}
    for run in plan.runs:
        result = RunFolder(store / run.id).result()
        if result is not None:
            found[run.arm][order[run.seed]] = result["value"] if result["status"] == "finished" else float("inf")
    return {arm: np.array(values) for arm, values in found.items()}


def decisions(plan: Plan, store: Path) -> dict[str, tuple[int, str]]:
    """By arm that is decided: after how many seeds, and how."""
    if plan.study.criterion.abort is not None:
        chances = abort.chances(plan, store)
        ends = {arm: "aborted" if chance < ABORT_BELOW else "continue" for arm, chance in chances.items()}
        return {arm: (len(plan.study.seeds), end) for arm, end in ends.items()}
    if rule_of(plan.study) is None:
        return {}
    found = courses(plan, store)
    return {arm: (course.looks[-1].n, course.decision) for arm, course in found.items() if not course.needs}


def note(plan: Plan, store: Path) -> list[str]:
    """Enter decisions that the ledger does not have yet; returns a line on each."""
    new, ledger = decisions(plan, store), Ledger.of(store)
    if not new:
        return []
    with ledger.locked():
        known = noted(plan, store)
        fresh = [(arm, n, decision) for arm, (n, decision) in new.items() if (arm, n, decision) not in known]
        for arm, n, decision in fresh:
            study = {"study": plan.study.name, "digest": plan.study.digest}
            ledger.add("looked", **study, arm=arm, pairs=n, decision=decision)
    return [f"{arm}: {WORDS[decision].format(n=n)}" for arm, n, decision in fresh]


WORDS = {
    "reject": "decided after {n} seeds: it differs from the baseline",
    "futile": "given up after {n} seeds: the gain that was hoped for is unlikely",
    "accept": "no difference shown at the last look, after {n} seeds",
    "aborted": "not finished: a significant difference is unlikely",
    "continue": "worth finishing",
}


def noted(plan: Plan, store: Path) -> list[tuple[str, int, Any]]:
    """Decisions that the ledger has of this declaration, sorted: arm, seeds, one of `WORDS`. Raises LedgerError."""
    entries = [entry for entry in Ledger.of(store).read() if entry.event == "looked"]
    mine = [entry for entry in entries if (entry["study"], entry["digest"]) == (plan.study.name, plan.study.digest)]
    return sorted((entry["arm"], entry["pairs"], entry["decision"]) for entry in mine)
