"""The trend of a gap over model sizes: a straight line in log10(size) through one estimate per size.

Every size counts alike. Weights 1/SE^2 would be best if the standard errors were known; estimated with the few degrees
of freedom of one study they follow the noise, and a test at 5% then calls a trend where there is none in 8 to 13% of
the cases (5 seeds, 3 to 5 sizes; see the tests).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import Contrast, contrast

FEWEST_SIZES = 3
RANDOM_SIZES_FROM = 5
"""From this many sizes on, the scatter about the line also tells how far sizes stray from it by themselves."""


@dataclass(frozen=True)
class Trend:
    """Slope per factor of ten in size, and the line's value at the largest size. `random` says whose noise was used."""

    slope: Contrast
    at_largest: Contrast
    at_smallest: Contrast
    random: bool


def trend(sizes: Sequence[float], gaps: Sequence[float], errors: Sequence[float], dfs: Sequence[float]) -> Trend:
    """The line through `gaps` over log10(`sizes`); `errors` are their standard errors with `dfs` degrees of freedom.

    With 3 or 4 sizes the noise is that within sizes (Satterthwaite's degrees of freedom); from 5 sizes on it is the
    scatter about the line (ordinary least squares, sizes - 2 degrees of freedom: Hartung & Knapp 2001 with equal
    weights), which includes what single sizes do beyond the line. Raises ConfigError for fewer than 3 sizes or equal
    ones.
    """
    x, d = np.log10(np.asarray(sizes, dtype=np.float64)), np.asarray(gaps, dtype=np.float64)
    variance, df = np.asarray(errors, dtype=np.float64) ** 2, np.asarray(dfs, dtype=np.float64)
    if len(set(sizes)) < max(len(sizes), FEWEST_SIZES):
        raise ConfigError(f"a trend needs at least {FEWEST_SIZES} different sizes, got {list(sizes)}")
    centred = x - x.mean()
    steep = centred / (centred @ centred)
    random = len(x) >= RANDOM_SIZES_FROM
    if random:
        scatter = d - d.mean() - centred * (steep @ d)
        left = len(x) - 2
        variance, df = np.full(len(x), scatter @ scatter / left), np.full(len(x), left)

    def line(weights: np.ndarray) -> Contrast:
        parts = weights**2 * variance
        total = float(parts.sum())
        own = float(df[0]) if random or total == 0 else total**2 / float((parts**2 / df).sum())
        return contrast(float(weights @ d), total**0.5, own)

    def value(at: float) -> Contrast:
        return line(1 / len(x) + (at - x.mean()) * steep)

    return Trend(line(steep), value(float(x.max())), value(float(x.min())), random)
