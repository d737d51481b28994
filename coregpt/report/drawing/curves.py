"""Learning curves as the report shows them: thinned, averaged over seeds, and as paired gaps to the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.report.facts.model import Report, RunResult

Vector = NDArray[np.float64]

MAX_POINTS = 400


@dataclass(frozen=True)
class Band:
    """A line with a band around it; arrays of one length. `x` has one array per axis name."""

    x: dict[str, Vector]
    middle: Vector
    low: Vector
    high: Vector


@dataclass(frozen=True)
class SeedCurve:
    """One run's curve; `x` has one array per axis name ('seconds' only if it was measured)."""

    run: RunResult
    x: dict[str, Vector]
    value: Vector


def thin(length: int, limit: int = MAX_POINTS) -> list[int]:
    """Evenly spread indices into a curve, the first and the last always among them."""
    if length <= limit:
        return list(range(length))
    return [round(i * (length - 1) / (limit - 1)) for i in range(limit)]


def seed_curves(report: Report) -> list[SeedCurve]:
    """Every run that has a curve, in report order."""
    curves = []
    for run, timing in zip(report.runs, report.timing.runs, strict=True):
        if not run.curve:
            continue
        columns = np.array(run.curve, dtype=np.float64).T
        axes = {"steps": columns[0], "tokens": columns[1], "flops": columns[2]}
        x = {name: column for name, column in axes.items() if np.isfinite(column).all()}  # unknown: no such axis
        if timing.seconds:
            x["seconds"] = np.array(timing.seconds, dtype=np.float64)
        curves.append(SeedCurve(run, x, columns[3]))
    return curves


def mean_band(curves: Sequence[SeedCurve]) -> Band | None:
    """Mean over finished seeds at the steps they share, with the range from lowest to highest seed."""
    finished = [curve for curve in curves if curve.run.status == "finished"]
    if not finished:
        return None
    steps = _shared_steps(finished)
    if len(steps) == 0:
        return None
    rows = [np.isin(curve.x["steps"], steps) for curve in finished]
    axes = [name for name in finished[0].x if all(name in curve.x for curve in finished)]
    x = {
        name: np.mean([curve.x[name][row] for curve, row in zip(finished, rows, strict=True)], axis=0) for name in axes
    }
    values = np.array([curve.value[row] for curve, row in zip(finished, rows, strict=True)])
    return Band(x, values.mean(0), values.min(0), values.max(0))


def gap_band(baseline: Sequence[SeedCurve], arm: Sequence[SeedCurve]) -> Band | None:
    """Mean paired gain (baseline minus arm) at shared steps, with a 95% t interval at each step by itself.

    Only seeds finished in both arms count; None below three of them.
    """
    by_seed = {curve.run.seed: curve for curve in baseline if curve.run.status == "finished"}
    pairs = [(by_seed[c.run.seed], c) for c in arm if c.run.status == "finished" and c.run.seed in by_seed]
    if len(pairs) < 3:
        return None
    steps = _shared_steps([curve for pair in pairs for curve in pair])
    if len(steps) == 0:
        return None
    gaps = np.array([_at(b, steps) - _at(a, steps) for b, a in pairs])
    half = stats.t.isf(0.025, len(pairs) - 1) * gaps.std(0, ddof=1) / np.sqrt(len(pairs))
    middle = gaps.mean(0)
    return Band({"steps": steps}, middle, middle - half, middle + half)


def _shared_steps(curves: Sequence[SeedCurve]) -> Vector:
    steps = curves[0].x["steps"]
    for curve in curves[1:]:
        steps = steps[np.isin(steps, curve.x["steps"])]
    return steps


def _at(curve: SeedCurve, steps: Vector) -> Vector:
    return curve.value[np.isin(curve.x["steps"], steps)]
