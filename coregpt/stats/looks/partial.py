"""Whether an arm is worth finishing, from its runs at a pause: the chance that the final test will be significant.

From the pause to the end every loss falls by about the same; what differs between runs is known from the baseline,
which was trained to its end. A stop decided by this can only turn verdicts into none: it never makes one.
"""

import math

import numpy as np
from numpy.typing import NDArray

from coregpt.stats.distributions import t_above

Vector = NDArray[np.float64]

FEWEST_SEEDS = 5
"""Fewer say too little about how runs scatter after the pause."""
ABORT_BELOW = 0.05
"""An arm with less than this chance is not finished."""


def chance_of_significance(gains: Vector, paused: Vector, final: Vector, critical: float) -> float:
    """Probability that the final paired t exceeds `critical` in size.

    `gains` (n,) are paired gains at the pause, `paused` and `final` (n,) the baseline's losses there and at the end.
    The final mean gain is predicted to be that at the pause, with a variance of 2 s^2 / n, s being the standard
    deviation of what the baseline's losses fall by; as s is estimated, the prediction follows Student's t. The noise of
    the final test is that of the gains at the pause, or what unrelated runs that end like the baseline's would have if
    that is less: a pause in a noisy part of the schedule must not make the end look hopeless.
    """
    n, mean = len(gains), float(gains.mean())
    needed = critical * math.sqrt(min(float(gains.var(ddof=1)), 2 * float(final.var(ddof=1))) / n)
    spread = math.sqrt(2 * float((final - paused).var(ddof=1)) / n)
    if spread == 0:
        return float(abs(mean) > needed)
    return t_above((needed - mean) / spread, n - 1) + t_above((needed + mean) / spread, n - 1)


def chance_at_pause(paused: Vector, final: Vector, arm: Vector, critical: float) -> float | None:
    """The same from losses (n,): the baseline's at the pause and at the end, and the arm's at the pause.

    None while one is NaN, not known yet; 1 where a run diverged (inf), as ranks may then decide.
    """
    losses = np.array([paused, final, arm])
    if np.isnan(losses).any():
        return None
    return chance_of_significance(paused - arm, paused, final, critical) if np.isfinite(losses).all() else 1.0
