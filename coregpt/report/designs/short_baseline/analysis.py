"""What a gain in loss is worth in steps: the gain over the slope between the baseline and its shorter self."""

import numpy as np
from numpy.typing import NDArray

from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.short_baseline import StepsSaved, Yardstick
from coregpt.report.verdicts.compare import Outcomes
from coregpt.stats.ratios import fieller
from coregpt.stats.target import MIN_RUNS

Vector = NDArray[np.float64]


def find_steps_saved(study: StudyFacts, outcomes: Outcomes) -> Yardstick | None:
    """Steps saved by every arm; None where no yardstick was declared.

    Gain and slope share the baseline's runs, so their covariance over seeds enters Fieller's interval.
    """
    if not study.yardstick:
        return None
    steps = {arm.name: arm.steps for arm in study.arms}
    full, short = steps[study.baseline], steps[study.yardstick]
    base, reference = outcomes.values[study.baseline], outcomes.values[study.yardstick]
    slopes = None
    if full > short and len(base) >= MIN_RUNS and np.isfinite([base, reference]).all():
        slopes = (reference - base) / (full - short)
    found = tuple(_saved(arm, base - outcomes.values[arm], slopes, full, short) for arm in study.treatments)
    slope = None if slopes is None else float(slopes.mean())
    return Yardstick(arm=study.yardstick, full_steps=full, short_steps=short, slope=slope, arms=found)


def _saved(arm: str, gains: Vector, slopes: Vector | None, full: int, short: int) -> StepsSaved:
    if slopes is None or not np.isfinite(gains).all():
        why = f"it needs {MIN_RUNS} seeds or more, each finished in the arm, the baseline and the yardstick"
        return StepsSaved(arm=arm, cause=why)
    gain, slope, n = float(gains.mean()), float(slopes.mean()), len(gains)
    if slope <= 0:
        return StepsSaved(arm=arm, cause="the longer baseline did not end lower, so no number of steps is worth a gain")
    covariance = np.cov(gains, slopes) / n
    interval = fieller(gain, slope, covariance[0, 0], covariance[1, 1], covariance[0, 1], n - 1)
    saved = gain / slope
    return StepsSaved(
        arm=arm,
        steps=saved,
        interval=interval,
        share=saved / full,
        cause="" if interval else "no finite interval: the slope is not clearly different from zero",
        extrapolated=abs(saved) > full - short,
    )
