"""Time per token of each arm relative to the baseline, from runs of the same seed, on the log scale."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from coregpt.lab.study.declaration import TOLERANCE
from coregpt.report.facts.base import Interval
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import ArmTiming
from coregpt.report.facts.runs import RunFacts


def arm_timings(study: StudyFacts, runs: Sequence[RunFacts]) -> tuple[ArmTiming, ...]:
    """One entry per arm in YAML order; finished runs only, None where nothing was measured."""
    finished = finished_runs(study, runs)
    return tuple(_arm_timing(arm.name, finished[arm.name], finished[study.baseline]) for arm in study.arms)


def finished_runs(study: StudyFacts, runs: Sequence[RunFacts]) -> dict[str, dict[int, RunFacts]]:
    """By arm and seed."""
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
    pairs = (
        (other.timing.tokens_per_second, mine.timing.tokens_per_second) for mine, other in run_pairs(runs, baseline)
    )
    return mean_ratio([np.log(theirs / own) for theirs, own in pairs if theirs and own])


def run_pairs(runs: dict[int, RunFacts], baseline: dict[int, RunFacts]) -> list[tuple[RunFacts, RunFacts]]:
    """Those of the seeds that both have, in order."""
    return [(runs[seed], baseline[seed]) for seed in sorted(runs.keys() & baseline.keys())]


def mean_ratio(logs: Sequence[float]) -> tuple[float | None, Interval | None]:
    """Geometric mean and its 95% interval, from 3 logarithms on."""
    if not logs:
        return None, None
    middle = float(np.mean(logs))
    if len(logs) < 3:
        return float(np.exp(middle)), None
    half = float(stats.t.isf(0.025, len(logs) - 1) * np.std(logs, ddof=1) / np.sqrt(len(logs)))
    return float(np.exp(middle)), (float(np.exp(middle - half)), float(np.exp(middle + half)))
