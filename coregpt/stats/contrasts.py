"""Estimates and tests of one arm against the baseline. Arrays in, frozen dataclasses out.

A gain is baseline minus arm: positive means the arm is better (lower metric).
Sources: Student 1908; Welch 1947; Fisher 1935 (sign-flip); Wilcoxon 1945; Dunnett 1955; Holm 1979; Schuirmann 1987.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.stats.distributions import t_above, t_level

Vector = NDArray[np.float64]
Interval = tuple[float, float]

_EXACT_FLIPS = 20  # 2^19 sums; above, a fixed large sample of flips
_SAMPLED_FLIPS = 200_000


@dataclass(frozen=True)
class Contrast:
    """An estimated gain with its standard error; `p` is two-sided and not adjusted for the number of arms.

    `sampling_se` is what the test seeds leave open and shrinks with more of them. `allowance` is a variance for what
    was chosen before the test, on other seeds: it stays, however many test seeds there are. `se` is both together.
    """

    gain: float
    sampling_se: float
    df: float
    t: float
    p: float
    allowance: float = 0.0

    @property
    def se(self) -> float:
        """The whole standard error, in the unit of the gain."""
        return math.sqrt(self.sampling_se**2 + self.allowance) if self.allowance else self.sampling_se


@dataclass(frozen=True)
class BlockedFit:
    """Arm + seed analysis of variance: one error estimate for all contrasts, and each arm's share of it."""

    contrasts: tuple[Contrast, ...]
    residual_variance: tuple[float, ...]
    """Per arm, baseline first; comparable between arms."""


def contrast(gain: float, sampling_se: float, df: float, allowance: float = 0.0) -> Contrast:
    """Student's test of gain = 0. Without any noise the gain is either exactly nothing or certain."""
    se = Contrast(gain, sampling_se, df, 0.0, 1.0, allowance).se
    if se == 0:
        t = float(np.sign(gain) * np.inf) if gain else 0.0
        return Contrast(gain, sampling_se, df, t, 0.0 if gain else 1.0, allowance)
    t = gain / se
    return Contrast(gain, sampling_se, df, t, 2 * t_above(abs(t), df), allowance)


def with_allowance(estimate: Contrast, variance: float) -> Contrast:
    """The same gain tested with this allowance (in place of any it had), degrees of freedom unchanged."""
    if not (variance >= 0 and math.isfinite(variance)):
        raise ValueError(f"an allowance is a variance, 0 or more, got {variance}")
    return contrast(estimate.gain, estimate.sampling_se, estimate.df, variance)


def paired_t(baseline: Vector, arm: Vector) -> Contrast:
    """Paired t-test over seeds; both arrays (n,) in the same seed order."""
    d = baseline - arm
    return contrast(float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d))), len(d) - 1)


def welch(baseline: Vector, arm: Vector) -> Contrast:
    """Welch's t-test, for runs that share nothing between arms."""
    vb, va = baseline.var(ddof=1) / len(baseline), arm.var(ddof=1) / len(arm)
    scale = vb**2 / (len(baseline) - 1) + va**2 / (len(arm) - 1)
    df = (vb + va) ** 2 / scale if scale > 0 else float(len(baseline) + len(arm) - 2)
    return contrast(float(baseline.mean() - arm.mean()), float(np.sqrt(vb + va)), float(df))


def blocked_anova(values: NDArray[np.float64]) -> BlockedFit:
    """Fit value = arm + seed. `values` is (arms, seeds), complete, the baseline in row 0."""
    arms, seeds = values.shape
    residual = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
    df = (arms - 1) * (seeds - 1)
    se = float(np.sqrt(2 * (residual**2).sum() / df / seeds))
    means = values.mean(1)
    share = (residual**2).sum(1) * arms / df
    return BlockedFit(
        tuple(contrast(float(means[0] - mean), se, df) for mean in means[1:]), tuple(float(v) for v in share)
    )


def interval(estimate: Contrast, critical: float) -> Interval:
    """gain +- critical * se."""
    return estimate.gain - critical * estimate.se, estimate.gain + critical * estimate.se


def t_interval(estimate: Contrast, confidence: float) -> Interval:
    """The usual two-sided t interval for one contrast."""
    return interval(estimate, t_level((1 - confidence) / 2, estimate.df))


def tost_p(estimate: Contrast, margin: float) -> float:
    """Two one-sided tests: the p-value of 'the gain lies within +-margin'."""
    if estimate.se == 0:
        return 0.0 if abs(estimate.gain) < margin else 1.0
    above = t_above((estimate.gain + margin) / estimate.se, estimate.df)
    below = t_above((margin - estimate.gain) / estimate.se, estimate.df)
    return max(above, below)


def sign_flip_p(d: Vector) -> float:
    """Two-sided p of the mean under random signs of the paired differences: exact up to 20 pairs."""
    size = np.sort(np.abs(d))  # sorted, so that the order of seeds cannot matter
    limit = abs(float(d.sum())) - 1e-10 * float(size.sum())
    if len(size) <= _EXACT_FLIPS:
        sums = np.zeros(1)
        for value in size:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= limit))
    signs = np.random.default_rng(0).integers(0, 2, (_SAMPLED_FLIPS, len(size)), dtype=np.int8) * 2 - 1
    return float((np.sum(np.abs(signs @ size) >= limit) + 1) / (_SAMPLED_FLIPS + 1))


def signed_ranks(baseline: Vector, arm: Vector) -> Vector:
    """Signed ranks of the paired gains, a diverged run (inf) counting as worse than any number.

    Pairs without a difference, and pairs where both runs diverged, get 0.
    """
    both = np.isinf(baseline) & np.isinf(arm)
    d = np.where(both, 0.0, baseline) - np.where(both, 0.0, arm)
    ranks = np.zeros(len(d))
    ranks[d != 0] = stats.rankdata(np.abs(d[d != 0]))
    signed: Vector = np.sign(d) * ranks
    return signed


def worst_rank(baseline: Vector, arm: Vector, *, paired: bool) -> tuple[float, float]:
    """(direction, two-sided p) of a rank test in which diverged runs (inf) are the worst outcome.

    Paired: exact signed-rank test. Unpaired: Mann-Whitney. A positive direction favours the arm.
    """
    if paired:
        ranks = signed_ranks(baseline, arm)
        return float(ranks.sum()), sign_flip_p(ranks)
    result = stats.mannwhitneyu(baseline, arm, alternative="two-sided")
    return float(result.statistic - len(baseline) * len(arm) / 2), float(result.pvalue)


def more_failures_p(arm_failures: int, baseline_failures: int, n_seeds: int, n_baseline: int | None = None) -> float:
    """Fisher's exact one-sided p that the arm diverges more often than the baseline (of `n_seeds` runs by default)."""
    others = n_seeds if n_baseline is None else n_baseline
    table = np.array([[arm_failures, n_seeds - arm_failures], [baseline_failures, others - baseline_failures]])
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
