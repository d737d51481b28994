"""Run the test a design announced, with the fallbacks its rules name: nothing here looks for a better p-value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coregpt.stats.contrasts import (
    BlockedFit,
    Contrast,
    blocked_anova,
    holm,
    paired_t,
    welch,
    with_allowance,
    worst_rank,
)
from coregpt.stats.design import MIN_ERROR_DF, Design, unpooled
from coregpt.stats.distributions import dunnett_critical, dunnett_p, t_level
from coregpt.stats.moderated import VariancePrior, moderated_paired_t
from coregpt.stats.screening import benjamini_hochberg

Vector = NDArray[np.float64]

NOISY_RATIO = 6.0
"""Residual variance of one arm over the median arm above which a pooled error is not trusted alone."""


@dataclass(frozen=True)
class Tested:
    """The outcome for one arm. `contrast` is None for rank tests; `critical` makes the simultaneous interval."""

    test: str
    direction: float
    p: float
    p_adjusted: float
    contrast: Contrast | None = None
    critical: float = np.inf
    p_separate: float | None = None
    noisy: bool = False


def run_primary(
    design: Design,
    alpha: float,
    baseline: Vector,
    measured: dict[str, Vector],
    ranked: dict[str, Vector],
    prior: VariancePrior | None = None,
    tuning: Mapping[str, float] | None = None,
) -> dict[str, Tested]:
    """Test every arm that can be tested; arms left out of the answer cannot be.

    `measured` arms have a number for every seed (as the baseline then has); `ranked` comparisons contain
    diverged runs, given as inf. The correction always counts all `design.n_treatments` planned arms. `prior` is what
    the design's history says about the noise; `alpha` of a screen is its false discovery rate.

    `tuning` is the allowance of each arm's comparison with the baseline, a variance (`contrasts.Contrast`). With one
    above 0 no error is pooled over arms (`design.unpooled`), and ranks, which have no error to add it to, are not
    tested: a `ranked` arm with an allowance is left out.
    """
    allowances = {name: variance for name, variance in (tuning or {}).items() if variance}
    if allowances:
        design = unpooled(design)
        ranked = {name: values for name, values in ranked.items() if name not in allowances}
    if not design.can_test:
        return {}
    paired = design.method != "welch_holm"
    ranks = {name: worst_rank(baseline, values, paired=paired) for name, values in ranked.items()}
    compare = _comparison(design, prior)
    contrasts = {name: compare(baseline, values) for name, values in measured.items()}
    contrasts |= {name: with_allowance(contrasts[name], allowances[name]) for name in contrasts if name in allowances}
    separate = {name: c.p for name, c in contrasts.items()} | {name: p for name, (_, p) in ranks.items()}
    correct = benjamini_hochberg if design.screens else holm
    adjusted = _over_family(correct, separate, design.n_treatments)
    if design.method in ("dunnett", "screen_pooled"):
        tested = _dunnett(design, alpha, baseline, measured, adjusted)
        adjusted = {name: min(1.0, design.n_treatments * p) for name, (_, p) in ranks.items()}
    else:
        share = alpha / (2 * design.n_treatments)
        tested = {
            name: Tested(design.name, c.gain, c.p, adjusted[name], c, t_level(share, c.df))
            for name, c in contrasts.items()
        }
    name_of_rank_test = (
        "signed-rank test, diverged runs ranked worst" if paired else "rank-sum test, diverged runs ranked worst"
    )
    for name, (direction, p) in ranks.items():
        tested[name] = Tested(name_of_rank_test, direction, p, adjusted[name])
    if not design.screens:
        return tested
    found = _over_family(correct, {name: each.p for name, each in tested.items()}, design.n_treatments)
    return {name: replace(each, p_adjusted=found[name]) for name, each in tested.items()}


def _comparison(design: Design, prior: VariancePrior | None) -> Callable[[Vector, Vector], Contrast]:
    """The test of one arm by itself."""
    if design.method == "moderated" and prior is not None:
        return lambda baseline, arm: moderated_paired_t(baseline, arm, prior)
    return welch if design.method == "welch_holm" else paired_t


def _over_family(
    correct: Callable[[Sequence[float]], list[float]], p_values: dict[str, float], family: int
) -> dict[str, float]:
    """Adjusted p-values over the planned family; planned arms without a p-value count as 1."""
    padded = list(p_values.values()) + [1.0] * (family - len(p_values))
    return dict(zip(p_values, correct(padded), strict=False))


def _dunnett(
    design: Design, alpha: float, baseline: Vector, measured: dict[str, Vector], separate: dict[str, float]
) -> dict[str, Tested]:
    if len(measured) * (design.n_seeds - 1) < MIN_ERROR_DF:
        return {}
    fit = blocked_anova(np.array([baseline, *measured.values()]))
    critical = dunnett_critical(alpha, design.n_treatments, fit.contrasts[0].df)
    return {
        name: Tested(
            design.name,
            c.gain,
            c.p,
            c.p if c.p in (0.0, 1.0) else dunnett_p(c.t, design.n_treatments, c.df),
            c,
            critical,
            separate[name],
            noisy,
        )
        for name, c, noisy in zip(measured, fit.contrasts, _noisy(fit), strict=True)
    }


def _noisy(fit: BlockedFit) -> list[bool]:
    """Which contrasts involve an arm much noisier than the others; a noisy baseline taints them all."""
    limit = NOISY_RATIO * float(np.median(fit.residual_variance))
    flags = [variance > limit for variance in fit.residual_variance]
    return [flag or flags[0] for flag in flags[1:]]
