"""What a design can detect, and how many seeds it would take. Exact, by quadrature; serves `plan` and the report.

`sd` is always the standard deviation of the per-seed difference between two arms, in the study's unit;
`difference_sd` gets it from the spread of one arm over seeds.
"""

import math

from scipy import optimize, stats

from coregpt.stats.design import Design, choose_test, fewest_seeds
from coregpt.stats.distributions import dunnett_critical, equivalence_power, two_sided_power

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
    return float(stats.t.isf(alpha / (2 * design.n_treatments), design.error_df))


def power_to_detect(difference: float, sd: float, design: Design, alpha: float) -> float:
    """Probability that a true `difference` gives an adjusted p below alpha; 0 if the design has no test."""
    if not design.can_test:
        return 0.0
    noncentrality = abs(difference) * math.sqrt(design.n_seeds) / sd
    return two_sided_power(critical_value(design, alpha), design.error_df, noncentrality)


def smallest_detectable(
    sd: float,
    n_seeds: int,
    n_treatments: int = 1,
    *,
    alpha: float = 0.05,
    power: float = 0.9,
    paired: bool = True,
) -> float | None:
    """The true difference found with probability `power`; None if this many seeds allow no test at all."""
    return detectable(choose_test(n_seeds, n_treatments, paired=paired), sd, alpha, power)


def detectable(design: Design, sd: float, alpha: float, power: float) -> float | None:
    """The true difference that a design finds with probability `power`; None if it allows no test at all.

    A screen is counted by its first step, as if no other arm had an effect; `alpha` is then its false discovery rate.
    """
    if not design.can_test:
        return None
    critical = critical_value(design, alpha)
    root = optimize.brentq(
        lambda ncp: two_sided_power(critical, design.error_df, ncp) - power,
        0.0,
        critical * 40 + 40,
        xtol=1e-10,
    )
    return float(root) * sd / math.sqrt(design.n_seeds)


def seeds_needed(
    sd: float,
    margin: float,
    n_treatments: int = 1,
    *,
    alpha: float = 0.05,
    power: float = 0.9,
    paired: bool = True,
    at_least: int = 1,
) -> int | None:
    """The fewest seeds that settle the question at `margin` either way; None above 1000.

    Settled means: a difference as large as the margin is detected, and no difference is shown equivalent,
    each with probability `power`.
    """

    def settles(n: int) -> bool:
        design = choose_test(n, n_treatments, paired=paired)
        if not design.can_test or power_to_detect(margin, sd, design, alpha) < power:
            return False
        return equivalence_power(margin * math.sqrt(n) / sd, design.error_df, EQUIVALENCE_LEVEL) >= power

    low = max(at_least, fewest_seeds(n_treatments, paired=paired))
    # Power rises with n except where the test changes, so the small designs are tried one by one.
    for n in range(low, 9):
        if settles(n):
            return n
    low = max(low, 9)
    if not settles(SEED_LIMIT):
        return None
    high = SEED_LIMIT
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle + 1, high)
    return low


def cautious_sd(sd: float, df: float) -> float:
    """Upper 80% bound of a standard deviation estimated with `df` degrees of freedom: for planning more seeds."""
    return sd * math.sqrt(df / float(stats.chi2.ppf(0.2, df)))
