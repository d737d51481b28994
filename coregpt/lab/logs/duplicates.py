"""Runs that are one observation told twice."""

import math
from collections.abc import Sequence

from coregpt.lab.logs.files import LoggedArm
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
        original = next((other for _, other in kept if _same(run, other, metric)), None)
        if original is None:
            kept.append((arm, run))
            continue
        arm.runs.remove(run)
        arm.warnings.append(f"{run.name} has the same {metric} curve as {original.name}; counted once")


def _same(short: LoggedRun, long: LoggedRun, metric: str) -> bool:
    a = {step: value for step, value in short.curve(metric).items() if step > 0}
    b = long.curve(metric)
    telling = sum(math.isfinite(value) for value in a.values())
    return telling >= ENOUGH_POINTS and all(step in b and _equal(value, b[step]) for step, value in a.items())


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
