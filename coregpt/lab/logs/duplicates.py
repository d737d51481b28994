"""Runs that are one observation told twice."""

import math
from collections.abc import Sequence

from coregpt.lab.logs.files import LoggedArm, counted_once
from coregpt.lab.logs.parse import LoggedRun

ENOUGH_POINTS = 3
"""Readings after the first step that must agree to the last digit before two runs are called the same."""


def drop_duplicates(arms: Sequence[LoggedArm], metric: str) -> None:
    """Keep each curve once over all arms, the longest telling of it; what is dropped is named in the arm's warnings.

    Two different seeds, or one seed executed twice on a GPU, do not give the same digits three times in a row.
    """
    kept: list[tuple[LoggedArm, LoggedRun]] = []
    everything = [(arm, run) for arm in arms for run in arm.runs]
    for arm, run in sorted(everything, key=lambda pair: -len(pair[1].curve(metric))):  # stable: first file first
        found = next(((of, other) for of, other in kept if _same(run, other, metric)), None)
        if found is None:
            kept.append((arm, run))
            continue
        of, original = found
        arm.runs.remove(run)
        told = counted_once(of.name, arm.name)
        arm.warnings.append(f"{run.name} has the same {metric} curve as {original.name}; {told}")
    _drop_quotations(kept, metric)


def _drop_quotations(kept: Sequence[tuple[LoggedArm, LoggedRun]], metric: str) -> None:
    """A file with one reading quotes a run and is none, unless no file has more than one.

    A run that was lost, or cut short of its planned length, may have had time for no more, and counts.
    """
    if all(len(_later(run, metric)) <= 1 for _, run in kept):
        return
    for arm, run in kept:
        if len(_later(run, metric)) != 1 or run.ended_early() or run.diverged_at(metric) is not None:
            continue
        ((step, value),) = _later(run, metric).items()
        quoted = next((o for _, o in kept if o is not run and _equal(value, o.curve(metric).get(step))), None)
        arm.runs.remove(run)
        what = f"a copy of {quoted.name}'s" if quoted else "which makes no run"
        arm.warnings.append(f"{run.name} holds a single {metric}, {what}; not counted")


def _later(run: LoggedRun, metric: str) -> dict[int, float]:
    return {step: value for step, value in run.curve(metric).items() if step > 0}


def _same(short: LoggedRun, long: LoggedRun, metric: str) -> bool:
    a = _later(short, metric)
    b = long.curve(metric)
    telling = sum(math.isfinite(value) for value in a.values())
    return telling >= ENOUGH_POINTS and all(step in b and _equal(value, b[step]) for step, value in a.items())


def _equal(a: float, b: float | None) -> bool:
    return a == b or (b is not None and math.isnan(a) and math.isnan(b))
