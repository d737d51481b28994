"""Means with intervals: of tokens that come in rows, and of right answers.

Tokens of one row share their text, so a row and not a token is what was drawn at random.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over `count` tokens and its interval; None where fewer than two rows have any."""

    value: float
    count: int
    low: float | None
    high: float | None


def mean_of_rows(values: Floats, counted: NDArray[np.bool_]) -> Mean | None:
    """The mean of `values` (rows, T) where `counted`; None where nothing is.

    The interval is that of a ratio of two sums over rows (its linearisation, with Student's t over the rows that have
    any such token). Source: Cochran, Sampling Techniques, 3rd edition, section 2.11.
    """
    sums = np.where(counted, values, 0.0).sum(axis=1)
    counts = counted.sum(axis=1).astype(np.float64)
    whole = counts.sum()
    if not whole:
        return None
    value = float(sums.sum() / whole)
    rows = int((counts > 0).sum())
    if rows < 2:
        return Mean(value, int(whole), None, None)
    residuals = sums - value * counts
    error = math.sqrt(rows / (rows - 1) * float((residuals**2).sum())) / whole
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, rows - 1)) * error
    return Mean(value, int(whole), value - reach, value + reach)


def wilson(right: int, of: int) -> tuple[float, float]:
    """95% interval of a share of right answers, `of` at least one. Source: Wilson 1927, doi:10.2307/2276774."""
    z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    share, spread = right / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    reach = z / (1 + spread) * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, middle - reach), min(1.0, middle + reach)
