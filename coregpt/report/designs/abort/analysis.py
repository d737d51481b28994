"""Arms left unfinished for want of prospects: the chances at the pause again, from the losses there."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from coregpt.report.designs.early import Early, not_counted, waiting
from coregpt.report.facts.abort import ArmPause, Pause
from coregpt.report.facts.inputs import PauseFacts, StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.compare import Outcomes
from coregpt.stats.design import Design
from coregpt.stats.looks.partial import ABORT_BELOW, chance_at_pause
from coregpt.stats.power import critical_value

Vector = NDArray[np.float64]
Chances = Mapping[str, float | None]
"""Of a significant final result, by arm; None where it is not known yet."""


def decide_at_pause(study: StudyFacts, design: Design, runs: Sequence[RunFacts]) -> Early | None:
    """None for a study without a pause. `runs` holds every planned cell, arms in order, seeds in order."""
    at = study.pause
    if at is None:
        return None
    baseline = _ends(study, at, runs)
    paused = {arm: np.array(each, dtype=np.float64) for arm, each in at.losses.items()}
    base, critical = paused[study.baseline], critical_value(design, study.alpha)
    chances = {arm: chance_at_pause(base, baseline, paused[arm], critical) for arm in study.treatments}
    given_up = {arm: chance for arm, chance in chances.items() if chance is not None and chance < ABORT_BELOW}
    told = [_unfinished(run, at) if run.arm in given_up else run for run in runs]
    counted = [run for run in told if run.arm not in given_up]
    settled = {arm: _given_up(at, arm, chance) for arm, chance in given_up.items()}
    return Early(told, counted, settled, {"pause": _pause(study, at, told, chances)})


def _ends(study: StudyFacts, at: PauseFacts, runs: Sequence[RunFacts]) -> Vector:
    """Final losses of the baseline on the stream that the losses at the pause are of, NaN where not known yet."""
    ends = Outcomes.of(study, runs).values[study.baseline] if at.ends is None else at.ends
    return np.array(ends, dtype=np.float64)


def _unfinished(run: RunFacts, at: PauseFacts) -> RunFacts:
    aborted = {"status": "aborted", "reason": f"not finished: its arm was given up at step {at.step:,}"}
    return run.model_copy(update=aborted if waiting(run) else not_counted(run))


def _given_up(at: PauseFacts, arm: str, chance: float) -> Comparison:
    where = f"aborted at step {at.step:,} of {at.steps:,}"
    cause = f"{where}: a significant difference was unlikely (P = {chance:.2g})"
    return Comparison(arm=arm, verdict="inconclusive", cause=cause)


def _pause(study: StudyFacts, at: PauseFacts, runs: Sequence[RunFacts], chances: Chances) -> Pause:
    """Every arm at the pause."""
    paused = {arm: np.array(each, dtype=np.float64) for arm, each in at.losses.items()}
    base = paused[study.baseline]
    with np.errstate(invalid="ignore"):
        rest = _ends(study, at, runs) - base
        gains = {arm: float((base - paused[arm]).mean()) for arm in study.treatments}
    known = len(rest) > 1 and bool(np.isfinite(rest).all())
    arms = tuple(
        ArmPause(
            arm=arm,
            gain=gain if np.isfinite(gain) else None,
            chance=chances[arm],
            aborted=(chance := chances[arm]) is not None and chance < ABORT_BELOW,
        )
        for arm, gain in gains.items()
    )
    unfinished = sum(run.status == "aborted" for run in runs)
    saved = unfinished * (at.steps - at.step) / (len(runs) * at.steps)
    return Pause(
        step=at.step, steps=at.steps, rest_sd=float(rest.std(ddof=1)) if known else None, arms=arms, saved=saved
    )
