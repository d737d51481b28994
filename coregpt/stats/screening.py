"""False discovery rate for declared screens of many arms. What passes is "screened", never "better"."""

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Benjamini & Hochberg 1995); at most q of those <= q are false."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return [float(value) for value in adjusted]


def screened(p_values: Sequence[float], q: float = 0.1) -> list[bool]:
    """Which arms a screen passes on for confirmation on fresh seeds."""
    return [value <= q for value in benjamini_hochberg(p_values)]
