"""Does a fresh estimate agree with a published one? The interval is fixed by the published numbers alone.

With d1 the published mean difference over n seeds, s its standard deviation per seed with df degrees of freedom, and
d2 the mean difference over k fresh seeds of the same effect, (d2 - d1) / (s sqrt(1/n + 1/k)) follows Student's t with
df degrees of freedom. The fresh estimate agrees if it lies within the interval this gives for d2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from coregpt.report.facts.base import Interval
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts

LEVEL = 0.95
"""Probability that all arms of a report whose effects are true agree."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Prediction:
    """What k fresh seeds of one arm must show, known before any of them is run."""

    arm: str
    published: float
    """Mean gain over the baseline in the report."""
    interval: Interval
    """The fresh mean gain agrees if it lies in here."""
    if_true: float
    """Probability of 'agrees' if the true gain is the published one."""
    if_zero: float
    """Probability of 'agrees' if the true gain is zero."""


@dataclass(frozen=True)
class Check:
    """One arm after the fresh seeds."""

    prediction: Prediction
    fresh: float | None
    """Mean gain over the fresh seeds; None if runs diverged."""
    agrees: bool
    reason: str


def predict(comparison: Comparison, k: int, arms: int) -> Prediction | None:
    """The prediction for k seeds in a report with `arms` treatments; None where there is nothing to check against."""
    c = comparison
    if c.gain is None or c.se is None or not c.df or any(c.failures) or c.missing_seeds:
        return None
    sd = (c.sampling_se or 0.0) * math.sqrt(c.pairs)  # both estimates are of the same frozen settings
    half = float(stats.t.isf((1 - LEVEL) / arms / 2, c.df)) * sd * math.sqrt(1 / c.pairs + 1 / k)
    low, high = c.gain - half, c.gain + half
    chance = [_chance(low, high, true, sd / math.sqrt(k), c.df) for true in (c.gain, 0.0)]
    return Prediction(c.arm, c.gain, (low, high), chance[0], chance[1])


def _chance(low: float, high: float, true: float, se: float, df: float) -> float:
    """Probability that a fresh mean around `true` lies in the interval; its noise is known with df degrees."""
    if se == 0:
        return float(low <= true <= high)
    return float(stats.t.cdf((high - true) / se, df) - stats.t.cdf((low - true) / se, df))


def check(prediction: Prediction, baseline: Sequence[RunFacts], arm: Sequence[RunFacts]) -> Check:
    """Judge the fresh runs of one arm against those of the baseline, seed by seed."""
    diverged = [sum(_value(run) is None for run in runs) for runs in (arm, baseline)]
    if any(diverged):
        reason = f"{diverged[0]} of its fresh runs and {diverged[1]} of the baseline's diverged; none did in the report"
        return Check(prediction, None, False, reason)
    theirs = {run.seed: run.value for run in baseline}
    fresh = float(np.mean([(theirs[run.seed] or 0.0) - (run.value or 0.0) for run in arm]))
    low, high = prediction.interval
    slack = ROUNDING * max(1.0, abs(fresh))
    return Check(prediction, fresh, low - slack <= fresh <= high + slack, "")


def _value(run: RunFacts) -> float | None:
    finite = run.status == "finished" and run.value is not None and math.isfinite(run.value)
    return run.value if finite else None


def by_arm(runs: Sequence[RunFacts]) -> Mapping[str, list[RunFacts]]:
    """Runs of each arm, in order."""
    found: dict[str, list[RunFacts]] = {}
    for run in runs:
        found.setdefault(run.arm, []).append(run)
    return found
