"""Does an arm reach a loss target? One-sample test, the earliest step claimed, and the speedrun's rule beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import ConfigError
from coregpt.stats.distributions import normal_above, t_above

Vector = NDArray[np.float64]

ALPHA = 0.01
MIN_RUNS = 3
SPEEDRUN_SCORE = 0.004
"""What (target - mean) * sqrt(n) must reach in the rule of the speedrun's optimization track."""
SPEEDRUN_SIGMA = 0.0013
"""The standard deviation that rule takes for granted."""


@dataclass(frozen=True)
class TargetTest:
    """One-sided test that the mean lies below the target."""

    n: int
    mean: float
    sd: float
    t: float
    p: float

    @property
    def passed(self) -> bool:
        """The target is reached, at 0.01 one-sided."""
        return self.p < ALPHA


def target_test(values: Vector, target: float) -> TargetTest:
    """Test that the mean of the final losses (n,), n >= 3, is below `target`, with their own spread."""
    return target_test_of(
        float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0, len(values), target
    )


def target_test_of(mean: float, sd: float, n: int, target: float) -> TargetTest:
    """The same from a published mean, sample standard deviation and number of runs."""
    if n < MIN_RUNS:
        raise ConfigError(f"target: a test needs at least {MIN_RUNS} runs, got {n}")
    if sd == 0:
        t = float(np.sign(mean - target) * np.inf) if mean != target else 0.0
    else:
        t = (mean - target) / sd * float(np.sqrt(n))
    return TargetTest(n, mean, sd, t, t_above(-t, n - 1))


def earliest_step(steps: Sequence[int], values: NDArray[np.float64], target: float) -> int | None:
    """The earliest step at which the target can be claimed; `values` is (runs, steps), `steps` rising.

    Steps are tested from the last backwards until the first failure, which needs no adjustment (closed
    testing in a fixed sequence: Marcus, Peritz & Gabriel 1976). A step where a run has no finite value fails.
    None if the last step fails already.
    """
    claimed = None
    for column in range(len(steps) - 1, -1, -1):
        if not np.isfinite(values[:, column]).all() or not target_test(values[:, column], target).passed:
            break
        claimed = steps[column]
    return claimed


def fixed_sigma_p(mean: float, n: int, target: float, sigma: float = SPEEDRUN_SIGMA) -> float:
    """One-sided p if the standard deviation really were `sigma`."""
    return normal_above(float((target - mean) * np.sqrt(n) / sigma))


def speedrun_score(mean: float, n: int, target: float) -> float:
    """(target - mean) * sqrt(n): what the speedrun's rule looks at."""
    return float((target - mean) * np.sqrt(n))


def speedrun_rule(mean: float, n: int, target: float) -> bool:
    """The speedrun's rule, for comparison only: it assumes a sigma instead of measuring it."""
    return speedrun_score(mean, n, target) >= SPEEDRUN_SCORE - 1e-12
