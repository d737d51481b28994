"""What a simulation found about one promise, and the one rule by which a table of promises is judged.

If every promise is just kept, the whole table is called in order with a probability of at least 99%: each line gets an
equal part of the 1% (Bonferroni), by the binomial distribution of its hits. The price: a single line must miss by more.

A line of the kind "no promise" shows what a rule is there for: how often one would be wrong without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Flags = NDArray[np.bool_]
Kind = Literal["false positives", "power", "power at least", "coverage", "coverage at least", "no promise"]

FALSE_ALARM = 0.01
"""Chance that a table without any broken promise has a line called broken."""
POWER_TOLERANCE, COVERAGE_TOLERANCE = 0.03, 0.01


@dataclass(frozen=True)
class Row:
    """One promise, measured in `studies` studies; `error` is the Monte Carlo standard error of `measured`.

    `binary` says that each study counts as 0 or 1.
    """

    procedure: str
    kind: Kind
    noise: str
    nominal: float
    measured: float
    error: float
    studies: int
    binary: bool = True

    @property
    def binds(self) -> bool:
        """Whether there is a promise to break."""
        return self.kind != "no promise"

    @property
    def promised(self) -> tuple[float, float]:
        """What the true value may be: rates at most nominal, power within 3 points, coverage within 1."""
        if not self.binds:
            return 0.0, 1.0
        if self.kind == "false positives":
            return 0.0, self.nominal
        if self.kind in ("power at least", "coverage at least"):
            return self.nominal, 1.0
        tolerance = POWER_TOLERANCE if self.kind == "power" else COVERAGE_TOLERANCE
        return max(0.0, self.nominal - tolerance), min(1.0, self.nominal + tolerance)

    def consistent(self, chance: float) -> bool:
        """Whether a promise that is kept gives a value like this, or one less extreme, but for `chance` per side."""
        low, high = self.promised
        if not self.binary:
            z = float(stats.norm.isf(chance))
            return low - z * self.error <= self.measured <= high + z * self.error
        hits = round(self.measured * self.studies)
        above, below = stats.binom.sf(hits - 1, self.studies, high), stats.binom.cdf(hits, self.studies, low)
        return bool(above >= chance and below >= chance)


def kept(rows: Sequence[Row]) -> list[bool]:
    """Which promises of a whole table are kept. A line alone cannot be judged: the rule counts lines with a promise."""
    lines = max(1, sum(row.binds for row in rows))
    return [row.consistent(FALSE_ALARM / lines / 2) for row in rows]


def of_flags(procedure: str, kind: Kind, noise: str, nominal: float, hits: Flags) -> Row:
    """The row of one flag per study; its error is that under the promise, so that a lucky 0 is not called exact."""
    measured = float(np.mean(hits))
    rate = measured if kind == "no promise" else nominal
    return Row(procedure, kind, noise, nominal, measured, float(np.sqrt(rate * (1 - rate) / len(hits))), len(hits))


def of_shares(procedure: str, kind: Kind, noise: str, nominal: float, shares: Sequence[float]) -> Row:
    """The row of one share (0 to 1) per study, whose mean is promised."""
    error = float(np.std(shares) / np.sqrt(len(shares)))
    return Row(procedure, kind, noise, nominal, float(np.mean(shares)), error, len(shares), binary=False)
