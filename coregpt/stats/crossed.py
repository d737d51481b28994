"""Variance of a run split into initial weights, data order, their interaction and repetition.

A grid of runs, one per (weights, order), and one cell executed several times. Both factors are random:
y_ij = mu + a_i + b_j + (ab)_ij, and e for repetition. Components are the usual functions of mean squares; intervals
of differences of mean squares are those of Ting, Burdick, Graybill, Jeyaratnam and Lu (1990), "Confidence intervals
on linear combinations of variance components that are unrestricted in sign".
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MeanSquare:
    """A mean square and its degrees of freedom."""

    value: float
    df: int


@dataclass(frozen=True)
class VarianceComponent:
    """An estimate, not below zero, with its interval; `df` are those of the mean square it comes from."""

    variance: float
    interval: tuple[float, float]
    df: int


@dataclass(frozen=True)
class Split:
    """The variance of one run by source."""

    rows: VarianceComponent
    columns: VarianceComponent
    interaction: VarianceComponent
    repetition: VarianceComponent

    @property
    def total(self) -> float:
        """Variance of a run whose row and column are both drawn anew."""
        return sum(part.variance for part in (self.rows, self.columns, self.interaction, self.repetition))


def split_variance(values: Array, repeats: Array, level: float = 0.95) -> Split:
    """`values`: (rows, columns), at least 2 x 2; `repeats`: at least 2 executions of one cell.

    Raises ValueError for a smaller design or values that are not finite.
    """
    if values.ndim != 2 or min(values.shape) < 2 or repeats.ndim != 1 or len(repeats) < 2:
        raise ValueError(f"expected at least 2 x 2 values and 2 repeats, got {values.shape} and {repeats.shape}")
    if not (np.isfinite(values).all() and np.isfinite(repeats).all()):
        raise ValueError("every value must be finite")
    rows, columns = values.shape
    centred = values - values.mean()
    row_means, column_means = centred.mean(1), centred.mean(0)
    residual = centred - row_means[:, None] - column_means[None, :]
    df = (rows - 1) * (columns - 1)
    of_rows = MeanSquare(columns * float(row_means @ row_means) / (rows - 1), rows - 1)
    of_columns = MeanSquare(rows * float(column_means @ column_means) / (columns - 1), columns - 1)
    of_cells = MeanSquare(float((residual**2).sum()) / df, df)
    # A shift changes no variance, and equal values are then equal to their mean without rounding.
    again = MeanSquare(float(np.var(repeats - repeats[0], ddof=1)), len(repeats) - 1)
    return Split(
        rows=_difference(of_rows, of_cells, columns, level),
        columns=_difference(of_columns, of_cells, rows, level),
        interaction=_difference(of_cells, again, 1, level),
        repetition=_difference(again, MeanSquare(0.0, 1), 1, level),
    )


def _difference(large: MeanSquare, small: MeanSquare, size: int, level: float) -> VarianceComponent:
    """(large - small) / size with its interval; both are cut at zero."""
    a, b = large.value, small.value
    estimate, tail = a - b, (1 - level) / 2
    g1, h1 = 1 - 1 / _ratio(1 - tail, large.df), 1 / _ratio(tail, large.df) - 1
    if b == 0:
        low, high = a * (1 - g1), a * (1 + h1)
    else:
        g2, h2 = 1 - 1 / _ratio(1 - tail, small.df), 1 / _ratio(tail, small.df) - 1
        top, bottom = (float(stats.f.ppf(q, large.df, small.df)) for q in (1 - tail, tail))
        g12 = ((top - 1) ** 2 - g1**2 * top**2 - h2**2) / top
        h12 = ((1 - bottom) ** 2 - h1**2 * bottom**2 - g2**2) / bottom
        low = estimate - math.sqrt(max((g1 * a) ** 2 + (h2 * b) ** 2 + g12 * a * b, 0.0))
        high = estimate + math.sqrt(max((h1 * a) ** 2 + (g2 * b) ** 2 + h12 * a * b, 0.0))
    return VarianceComponent(max(estimate, 0.0) / size, (max(low, 0.0) / size, max(high, 0.0) / size), large.df)


def _ratio(q: float, df: int) -> float:
    """Quantile of a chi-square over its degrees of freedom."""
    return float(stats.chi2.ppf(q, df)) / df
