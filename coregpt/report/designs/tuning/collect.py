"""From the runs of all trials to the settings that the test runs with."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from coregpt.lab.designs.tuning import trial_name, trials_of
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.sections.space import Choices, Range
from coregpt.report.designs.tuning.analysis import tuning_notes
from coregpt.report.facts.runs import RunFacts
from coregpt.report.facts.tuning import ArmTuning, Trial, Tuned, settings_text
from coregpt.report.reading.collector import Collector
from coregpt.report.reading.found import Found
from coregpt.report.reading.runs import collect_runs, ledger_of
from coregpt.stats.tuning import best_trial, expected_best_curve

EDGE = 0.1
"""A chosen number within this share of an end of its range may have its optimum outside."""
FEWEST_ORDERED = 3
"""Choices of numbers that make an end worth a warning: of two, either is one."""


class Tuning(Collector):
    """Trials and what they came to."""

    def find(self, study: Study, trials: Plan, store: Path) -> Found | None:
        return found_by_trials(study, trials, store) if trials_of(study) else None


def found_by_trials(study: Study, trials: Plan, store: Path) -> Found | None:
    """None while a run of a trial has no outcome. A result that is not the one on record is no outcome."""
    runs = collect_runs(trials, store, ledger_of(trials, store))
    if any(run.status in ("missing", "failed") for run in runs):
        return None
    started = _started(trials, store)
    arms = tuple(_arm(study, arm.name, runs, started) for arm in study.written)
    seconds = {each.arm: sum(r.timing.train_seconds or 0.0 for r in _of_arm(study, each.arm, runs)) for each in arms}
    tuned = Tuned(seeds=trials.study.seeds, arms=arms, reads=trials.study.reads)
    return Found(
        settings=tuned.settings,
        lines=tuple(
            f"{each.arm}: trial {each.chosen} of {len(each.trials)}, {settings_text(each.best)}" for each in arms
        ),
        fields={"tuning": tuned},
        seconds=seconds,
        notes=tuple(tuning_notes(tuned)),
    )


def edges(space: Mapping[str, Range | Choices], point: Mapping[str, object]) -> dict[str, object]:
    """The values of a point that lie at an end of their range or of an ordered list of numbers."""
    return {path: point[path] for path, each in space.items() if _at_edge(each, point[path])}


def _at_edge(dimension: Range | Choices, value: object) -> bool:
    if isinstance(dimension, Range):
        assert isinstance(value, int | float)
        return not EDGE < dimension.share(value) < 1 - EDGE
    values = dimension.values
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    ordered = len(numbers) == len(values) >= FEWEST_ORDERED and sorted(numbers) in (numbers, numbers[::-1])
    return ordered and value in (values[0], values[-1])


def _arm(study: Study, arm: str, runs: Sequence[RunFacts], started: Mapping[str, int]) -> ArmTuning:
    declared = trials_of(study)
    assert declared is not None
    points, space = declared.trials[arm], declared.space[arm]
    trials = []
    for number, point in enumerate(points, 1):
        values = [_outcome(run) for run in runs if run.arm == trial_name(arm, number)]
        trials.append(Trial(number=number, settings=point, values=tuple(values), mean=sum(values) / len(values)))
    chosen = best_trial([trial.values for trial in trials])
    own = _of_arm(study, arm, runs)
    return ArmTuning(
        arm=arm,
        space={path: each.declared() for path, each in space.items()},
        trials=tuple(trials),
        chosen=chosen + 1,
        expected_best=tuple(expected_best_curve([trial.mean for trial in trials])),
        edges=edges(space, points[chosen]),
        runs=len(own),
        diverged=sum(not math.isfinite(trial.mean) for trial in trials),
        started=started.get(arm, 0),
        flops=sum(run.curve[-1].flops or 0.0 for run in own if run.curve),
    )


def _outcome(run: RunFacts) -> float:
    value = run.value if run.status == "finished" else None
    return value if value is not None and math.isfinite(value) else math.inf


def _of_arm(study: Study, arm: str, runs: Sequence[RunFacts]) -> list[RunFacts]:
    declared = trials_of(study)
    assert declared is not None
    names = {trial_name(arm, number) for number, _ in enumerate(declared.trials[arm], 1)}
    return [run for run in runs if run.arm in names]


def _started(trials: Plan, store: Path) -> dict[str, int]:
    """By arm: runs of any of its trials, under any declaration, that were ever started."""
    counts: dict[str, int] = {}
    for past in History(Ledger.of(store).read(), trials.study.name).runs():
        arm = past.arm.rpartition("/")[0]
        counts[arm] = counts.get(arm, 0) + 1
    return counts
