"""What the report of the test says about the tuning before it."""

import math

from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.tuning import Tuned, shown


def tuning_notes(tuned: Tuned) -> list[str]:
    """What may have made the tuning unfair or too narrow."""
    found = []
    for each in tuned.arms:
        for path, value in each.edges.items():
            found.append(f"{each.arm}: {path} {shown(value)} is on the edge of its space: the optimum may lie outside.")
        if not math.isfinite(each.best.mean):
            found.append(f"{each.arm}: every trial had a run that diverged, so the first trial was taken.")
    started = {each.arm: each.started for each in tuned.arms}
    if len(set(started.values())) > 1:
        counts = listing([f"{plural(count, 'run')} for {arm}" for arm, count in started.items()])
        found.append(f"More was spent on tuning some arms than others, counting all runs ever started: {counts}.")
    return found
