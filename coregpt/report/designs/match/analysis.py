"""Did arms that were matched on seconds come out equal? From runs of the same seed, on the log scale."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from coregpt.lab.study.declaration import TOLERANCE
from coregpt.report.facts.base import Interval
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.match import MatchedSeconds
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.speed import finished_runs, mean_ratio, run_pairs


def matched_seconds(study: StudyFacts, runs: Sequence[RunFacts]) -> tuple[MatchedSeconds, ...]:
    """How the arms of `match: seconds` came out, in YAML order; those without finished pairs are left out."""
    finished = finished_runs(study, runs) if study.match == "seconds" else {}
    found = []
    for arm in study.treatments if finished else ():
        pairs = [
            (a.timing.train_seconds, b.timing.train_seconds)
            for a, b in run_pairs(finished[arm], finished[study.baseline])
        ]
        ratio, interval = mean_ratio([np.log(mine / other) for mine, other in pairs if mine and other])
        if ratio is not None:
            off = None if interval is None else (interval[0] - 1, interval[1] - 1)
            found.append(MatchedSeconds(arm=arm, off=ratio - 1, interval=off, word=_held(off)))
    return tuple(found)


def _held(off: Interval | None) -> Literal["held", "missed", "unclear"]:
    if off is None:
        return "unclear"
    if off[0] >= -TOLERANCE and off[1] <= TOLERANCE:
        return "held"
    return "missed" if off[0] > TOLERANCE or off[1] < -TOLERANCE else "unclear"
