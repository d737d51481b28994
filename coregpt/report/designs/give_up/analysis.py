"""A screen seed by seed: where it stopped, from the runs."""

from collections.abc import Sequence

import numpy as np

from coregpt.report.designs.early import Early, not_counted, waiting
from coregpt.report.drawing.numbers import plural
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.compare import Outcomes, compare_arm
from coregpt.stats.design import Design
from coregpt.stats.looks.giving_up import Screening, replay

GIVEN_UP = "given up after"


def decide_by_chance(study: StudyFacts, design: Design, runs: Sequence[RunFacts]) -> Early | None:
    """None for a study that is not given up. `runs` holds every planned cell, arms and seeds in order."""
    stopped = given_up_after(study, runs)
    if stopped is None:
        return None
    (arm,) = study.treatments
    place = {seed: i for i, seed in enumerate(study.seeds)}
    told = [run if place[run.seed] < stopped else _beyond(run, stopped) for run in runs]
    counted = [run for run in told if place[run.seed] < stopped]
    return Early(told, counted, {arm: _at_stop(study, design, counted, arm, stopped)}, {})


def given_up_after(study: StudyFacts, runs: Sequence[RunFacts]) -> int | None:
    """How many seeds it took; None where the arm was not given up."""
    if study.give_up is None:
        return None
    (arm,) = study.treatments
    values = Outcomes.of(study, runs).values
    known = ~(np.isnan(values[study.baseline]) | np.isnan(values[arm]))
    seeds = len(known) if known.all() else int(known.argmin())
    with np.errstate(invalid="ignore"):
        d = (values[study.baseline] - values[arm])[:seeds]
    after, step = replay(Screening(len(study.seeds), study.alpha, study.give_up), d)
    return after if step == "futile" else None


def _beyond(run: RunFacts, seeds: int) -> RunFacts:
    """A run after the arm was given up."""
    why = f"{GIVEN_UP} {plural(seeds, 'seed')}"
    spared = {"status": "spared", "reason": f"not needed: {why}"}
    return run.model_copy(update=spared if waiting(run) else not_counted(run, why))


def _at_stop(study: StudyFacts, design: Design, counted: Sequence[RunFacts], arm: str, seeds: int) -> Comparison:
    """Estimates of the seeds there are, and no test: one that stops where it suits would be none."""
    seen = compare_arm(study, design, Outcomes.of(study, counted), arm, None)
    if seen.verdict != "no sign":
        return seen
    cause = f"{GIVEN_UP} {seeds} of {len(study.seeds)} seeds: it would hardly have come out as a candidate"
    return seen.model_copy(update={"cause": cause})
