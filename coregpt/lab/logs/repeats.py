"""Executions of one seed by one source: they differ by rounding alone, so they are one observation, their average.

Logs without their source code are taken to be of one: as two observations they could make a find of rounding.
"""

from collections.abc import Sequence
from dataclasses import replace

from coregpt.lab.logs.files import LoggedArm
from coregpt.lab.logs.judge import is_full
from coregpt.lab.logs.parse import LoggedRun


def average_repeats(arms: Sequence[LoggedArm], metric: str) -> None:
    """Put the average in place of runs of one arm that have the same known seed and source; they are named."""
    for arm in arms:
        groups: dict[tuple[int, str], list[LoggedRun]] = {}
        for run in arm.runs:
            if run.seed is not None:
                groups.setdefault((run.seed, run.facts.get("code", "")), []).append(run)
        for (seed, code), runs in groups.items():
            if len(runs) > 1:
                same = f"seed {seed} and source code are the same"
                _replace(arm, same if code else f"seed {seed} is the same, and no log holds its code", runs, metric)


def _replace(arm: LoggedArm, same: str, runs: Sequence[LoggedRun], metric: str) -> None:
    """One that was cut short says nothing where the others went on; one that was lost is no such."""
    whole = [run for run in runs if is_full(run, metric) or run.diverged_at(metric) is not None] or list(runs)
    place = arm.runs.index(runs[0])
    arm.runs[:] = [run for run in arm.runs if run not in runs]
    arm.runs.insert(place, _average(whole))
    names = ", ".join(run.name for run in runs)
    cut = [run.name for run in runs if run not in whole]
    rest = f"; {', '.join(cut)} ended early and {'is' if len(cut) == 1 else 'are'} not in it" if cut else ""
    arm.warnings.append(f"{names}: {same}, so they count as one, their average{rest}")


def _average(runs: Sequence[LoggedRun]) -> LoggedRun:
    """At the steps that all have; where one was lost, all are."""
    readings = {}
    for metric in set.intersection(*(set(run.readings) for run in runs)):
        columns = [run.curve(metric) for run in runs]
        steps = sorted(set.intersection(*(set(column) for column in columns)))
        readings[metric] = {step: sum(column[step] for column in columns) / len(columns) for step in steps}
    return replace(
        runs[0],
        file=" + ".join(run.name for run in runs),
        number=1,
        readings=readings,
        seconds={},
        last_step=min(run.last_step for run in runs),
        lacks_end=any(run.lacks_end for run in runs),
    )
