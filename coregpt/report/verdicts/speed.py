"""Time per token of each arm relative to the baseline, from runs of the same seed, on the log scale."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from coregpt.lab.study.declaration import TOLERANCE
from coregpt.report.facts.inputs import RunFacts, StudyFacts
from coregpt.report.facts.model import ArmTiming, Interval, MatchedSeconds


def arm_timings(study: StudyFacts, runs: Sequence[RunFacts]) -> tuple[ArmTiming, ...]:
    """One entry per arm in YAML order; finished runs only, None where nothing was measured."""
    finished = _finished(study, runs)
    return tuple(_arm_timing(arm.name, finished[arm.name], finished[study.baseline]) for arm in study.arms)


def _finished(study: StudyFacts, runs: Sequence[RunFacts]) -> dict[str, dict[int, RunFacts]]:
    finished: dict[str, dict[int, RunFacts]] = {arm.name: {} for arm in study.arms}
    for run in runs:
        if run.status == "finished":
            finished[run.arm][run.seed] = run
    return finished


def unequal_seconds(study: StudyFacts, timings: Sequence[ArmTiming]) -> dict[str, float]:
    """Median training seconds of every timed arm, if the study holds seconds equal and they are not."""
    compared = (study.baseline, *study.treatments)
    seconds = {t.arm: t.train_seconds for t in timings if t.arm in compared and t.train_seconds is not None}
    if study.equal != "seconds" or not seconds or max(seconds.values()) <= (1 + TOLERANCE) * min(seconds.values()):
        return {}
    return seconds


def matched_seconds(study: StudyFacts, runs: Sequence[RunFacts]) -> tuple[MatchedSeconds, ...]:
    """How the arms of `match: seconds` came out, in YAML order; those without finished pairs are left out."""
    finished = _finished(study, runs) if study.match == "seconds" else {}
    found = []
    for arm in study.treatments if finished else ():
        pairs = [
            (a.timing.train_seconds, b.timing.train_seconds) for a, b in _pairs(finished[arm], finished[study.baseline])
        ]
        ratio, interval = _mean_ratio([np.log(mine / other) for mine, other in pairs if mine and other])
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


def _arm_timing(arm: str, runs: dict[int, RunFacts], baseline: dict[int, RunFacts]) -> ArmTiming:
    speed = [r.timing.tokens_per_second for r in runs.values() if r.timing.tokens_per_second]
    seconds = [r.timing.train_seconds for r in runs.values() if r.timing.train_seconds is not None]
    memory = [r.timing.peak_memory_bytes for r in runs.values() if r.timing.peak_memory_bytes is not None]
    ratio, ratio_interval = _time_ratio(runs, baseline)
    return ArmTiming(
        arm=arm,
        tokens_per_second=float(np.median(speed)) if speed else None,
        train_seconds=float(np.median(seconds)) if seconds else None,
        time_ratio=ratio,
        time_ratio_interval=ratio_interval,
        peak_memory_bytes=max(memory) if memory else None,
    )


def _time_ratio(runs: dict[int, RunFacts], baseline: dict[int, RunFacts]) -> tuple[float | None, Interval | None]:
    pairs = ((other.timing.tokens_per_second, mine.timing.tokens_per_second) for mine, other in _pairs(runs, baseline))
    return _mean_ratio([np.log(theirs / own) for theirs, own in pairs if theirs and own])


def _pairs(runs: dict[int, RunFacts], baseline: dict[int, RunFacts]) -> list[tuple[RunFacts, RunFacts]]:
    return [(runs[seed], baseline[seed]) for seed in sorted(runs.keys() & baseline.keys())]


def _mean_ratio(logs: Sequence[float]) -> tuple[float | None, Interval | None]:
    """Geometric mean and its 95% interval, from 3 logarithms on."""
    if not logs:
        return None, None
    middle = float(np.mean(logs))
    if len(logs) < 3:
        return float(np.exp(middle)), None
    half = float(stats.t.isf(0.025, len(logs) - 1) * np.std(logs, ddof=1) / np.sqrt(len(logs)))
    return float(np.exp(middle)), (float(np.exp(middle - half)), float(np.exp(middle + half)))
