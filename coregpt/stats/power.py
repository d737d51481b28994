"""What a design can detect, and how many seeds it would take. Exact, by quadrature; serves `plan` and the report.

`sd` is always the standard deviation of the per-seed difference between two arms, in the study's unit;
`difference_sd` gets it from the spread of one arm over seeds. `allowance` is a variance of the gain that more seeds
do not shrink (`contrasts.Contrast`); a true difference is then counted as if it had that spread.
"""

import math
from collections.abc import Callable

from scipy import optimize, stats

from coregpt.stats.design import Design, announced, fewest_seeds
from coregpt.stats.distributions import dunnett_critical, equivalence_power, normal_level, t_level, two_sided_power

EQUIVALENCE_LEVEL = 0.05
"""Level of each one-sided test of equivalence."""
SEED_LIMIT = 1000


def difference_sd(seed_sd: float, correlation: float = 0.0) -> float:
    """Standard deviation of a paired difference when each arm has `seed_sd` and seeds correlate by `correlation`."""
    return seed_sd * math.sqrt(2 * (1 - correlation))


def critical_value(design: Design, alpha: float) -> float:
    """The |t| a contrast must exceed; for Holm the first (Bonferroni) step, which is what any arm can rely on."""
    if design.method == "dunnett":
        return dunnett_critical(alpha, design.n_treatments, design.error_df)
    return t_level(alpha / (2 * design.n_treatments), design.error_df)


def power_to_detect(difference: float, sd: float, design: Design, alpha: float, allowance: float = 0.0) -> float:
    """Probability that a true `difference` gives an adjusted p below alpha; 0 if the design has no test."""
    if not design.can_test:
        return 0.0
    whole, estimated = _with_allowance(sd, design.n_seeds, allowance)
    noncentrality = abs(difference) * math.sqrt(design.n_seeds) / whole
    return two_sided_power(critical_value(design, alpha), design.error_df, noncentrality, estimated)


def smallest_detectable(
    sd: float,
    n_seeds: int,
    n_treatments: int = 1,
    *,
    alpha: float = 0.05,
    power: float = 0.9,
    paired: bool = True,
    allowance: float = 0.0,
) -> float | None:
    """The true difference found with probability `power`; None if this many seeds allow no test at all."""
    design = announced(n_seeds, n_treatments, paired=paired, tuned=allowance > 0)
    return detectable(design, sd, alpha, power, allowance)


def detectable(design: Design, sd: float, alpha: float, power: float, allowance: float = 0.0) -> float | None:
    """The true difference that a design finds with probability `power`; None if it allows no test at all.

    A screen is counted by its first step, as if no other arm had an effect; `alpha` is then its false discovery rate.
    """
    if not design.can_test:
        return None
    critical = critical_value(design, alpha)
    whole, estimated = _with_allowance(sd, design.n_seeds, allowance)
    root = optimize.brentq(
        lambda ncp: two_sided_power(critical, design.error_df, ncp, estimated) - power,
        0.0,
        critical * 40 + 40,
        xtol=1e-10,
    )
    return float(root) * whole / math.sqrt(design.n_seeds)


def seeds_needed(
    sd: float,
    margin: float,
    n_treatments: int = 1,
    *,
    alpha: float = 0.05,
    power: float = 0.9,
    paired: bool = True,
    at_least: int = 1,
    allowance: float = 0.0,
) -> int | None:
    """The fewest seeds that settle the question at `margin` either way; None above 1000 (see `out_of_reach`).

    Settled means: a difference as large as the margin is detected, and no difference is shown equivalent,
    each with probability `power`.
    """

    def settles(n: int) -> bool:
        design = announced(n, n_treatments, paired=paired, tuned=allowance > 0)
        if not design.can_test or power_to_detect(margin, sd, design, alpha, allowance) < power:
            return False
        whole, estimated = _with_allowance(sd, n, allowance)
        room = margin * math.sqrt(n) / whole
        return equivalence_power(room, design.error_df, EQUIVALENCE_LEVEL, estimated) >= power

    low = max(at_least, fewest_seeds(n_treatments, paired=paired, tuned=allowance > 0))
    # Power rises with n except where the test changes, so the small designs are tried one by one.
    for n in range(low, 9):
        if settles(n):
            return n
    return _first(settles, max(low, 9))


def _first(holds: Callable[[int], bool], low: int) -> int | None:
    """The fewest seeds from `low` on for which `holds`, which is then true of all more; None above the limit."""
    if not holds(SEED_LIMIT):
        return None
    high = SEED_LIMIT
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def seeds_to_detect(
    difference: float, sd: float, n_treatments: int = 1, *, alpha: float, power: float, tuned: bool = False
) -> int | None:
    """The fewest paired seeds with which `difference` is detected with probability `power`; None above 1000."""

    def detects(n: int) -> bool:
        return power_to_detect(difference, sd, announced(n, n_treatments, paired=True, tuned=tuned), alpha) >= power

    low = fewest_seeds(n_treatments, tuned=tuned)
    found = next((n for n in range(low, 9) if detects(n)), None)
    if found is not None:
        return found
    return _first(detects, max(low, 9))


def out_of_reach(
    margin: float, n_treatments: int = 1, *, alpha: float = 0.05, power: float = 0.9, allowance: float = 0.0
) -> bool:
    """Whether the allowance alone keeps `margin` from being settled, however many test seeds there are."""
    if not allowance:
        return False
    noncentrality = margin / math.sqrt(allowance)
    critical = normal_level(alpha / (2 * n_treatments))
    found = two_sided_power(critical, math.inf, noncentrality)
    return found < power or equivalence_power(noncentrality, math.inf, EQUIVALENCE_LEVEL) < power


def cautious_sd(sd: float, df: float) -> float:
    """Upper 80% bound of a standard deviation estimated with `df` degrees of freedom: for planning more seeds."""
    return sd * math.sqrt(df / float(stats.chi2.ppf(0.2, df)))


def _with_allowance(sd: float, n_seeds: int, allowance: float) -> tuple[float, float]:
    """`sd` as if the allowance were noise of the seeds as well, and the share of its square that seeds measure."""
    variance = sd * sd + n_seeds * allowance
    return math.sqrt(variance), sd * sd / variance if allowance else 1.0
