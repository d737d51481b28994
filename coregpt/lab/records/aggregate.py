"""Curves of one arm over its seeds: the mean at each evaluation with a 95% interval at that step by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from coregpt.engine.training.outcome import SELECT
from coregpt.lab.records.store import Row

METRIC = SELECT


@dataclass(frozen=True)
class BandPoint:
    """One evaluation step; `low` and `high` are None for a single seed."""

    step: int
    mean: float
    low: float | None
    high: float | None


def band(curves: Sequence[Sequence[Row]]) -> list[BandPoint]:
    """Over runs given by the rows of their logs, at the evaluation steps where every run has a finite value."""
    values = [{int(row["step"]): row[METRIC] for row in rows if METRIC in row} for rows in curves]
    if not values:
        return []
    steps = sorted(set.intersection(*(set(curve) for curve in values)))
    columns = [(step, [curve[step] for curve in values]) for step in steps]
    return [_point(step, column) for step, column in columns if all(map(math.isfinite, column))]


def _point(step: int, column: list[float]) -> BandPoint:
    n, mean = len(column), float(np.mean(column))
    if n < 2:
        return BandPoint(step, mean, None, None)
    half = float(stats.t.isf(0.025, n - 1) * np.std(column, ddof=1) / math.sqrt(n))
    return BandPoint(step, mean, mean - half, mean + half)
