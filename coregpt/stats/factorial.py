"""Full 2^k factorials in seed blocks: main effects and interactions from one contrast per block.

Cells are in standard (Yates) order: bit j of a cell's index says whether factor j is on.
An effect is mean(on) - mean(off), an interaction half the difference of simple effects (and so on), so for a
loss a negative main effect is an improvement. Source: Montgomery, Design and Analysis of Experiments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coregpt.contract.errors import ConfigError
from coregpt.stats.contrasts import Contrast, contrast, holm

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """Effect of the factors in `factors` (one: main effect, more: interaction). `p_adjusted` is Holm's."""

    factors: tuple[str, ...]
    estimate: Contrast
    p_adjusted: float


@dataclass(frozen=True)
class SimpleEffect:
    """Effect of `factor` where `given` is on or off, averaged over the other factors."""

    factor: str
    given: str
    on: bool
    estimate: Contrast


@dataclass(frozen=True)
class Factorial:
    """Interactions first; simple effects for every pair that interacts at alpha."""

    interactions: tuple[Effect, ...]
    main: tuple[Effect, ...]
    simple: tuple[SimpleEffect, ...]


@dataclass(frozen=True)
class AnovaLine:
    """One line of a table of variance; F and p are NaN for the residual."""

    source: str
    ss: float
    df: int
    f: float
    p: float


def analyse(values: Matrix, factors: Sequence[str], alpha: float) -> Factorial:
    """`values` is (blocks, 2^k), at least 3 blocks. Holm separately over interactions and over main effects."""
    _check(values, factors, least=3)
    subsets = [s for size in range(1, len(factors) + 1) for s in combinations(range(len(factors)), size)]
    found = {s: _estimate(values, _signs(len(factors), s)) for s in subsets}
    main = _adjusted({s: c for s, c in found.items() if len(s) == 1}, factors)
    interactions = _adjusted({s: c for s, c in found.items() if len(s) > 1}, factors)
    pairs = {
        pair
        for effect in interactions
        if effect.p_adjusted < alpha
        for pair in combinations([list(factors).index(name) for name in effect.factors], 2)
    }
    simple = [
        SimpleEffect(factors[a], factors[b], on, _simple(values, len(factors), a, b, on))
        for pair in sorted(pairs)
        for a, b in (pair, pair[::-1])
        for on in (False, True)
    ]
    return Factorial(interactions, main, tuple(simple))


def anova(values: Matrix, factors: Sequence[str], *, blocked: bool = True) -> tuple[AnovaLine, ...]:
    """Table of variance with one pooled error; unblocked, the rows of `values` are mere replicates."""
    _check(values, factors, least=2)
    n, cells, k = len(values), values.shape[1], len(factors)
    effects = {
        ":".join(factors[i] for i in s): float((values.mean(0) @ _signs(k, s)) ** 2 * n / cells)
        for size in range(1, k + 1)
        for s in combinations(range(k), size)
    }
    within = float(((values - values.mean(0)) ** 2).sum())
    blocks = float(cells * ((values.mean(1) - values.mean()) ** 2).sum())
    df = (cells - 1) * (n - 1) if blocked else cells * (n - 1)
    error = within - blocks if blocked else within
    lines = []
    for name, ss in effects.items():
        f = ss / (error / df) if error > 0 else float("nan")
        lines.append(AnovaLine(name, ss, 1, f, float(stats.f.sf(f, 1, df))))
    if blocked:
        lines.append(AnovaLine("block", blocks, n - 1, float("nan"), float("nan")))
    return (*lines, AnovaLine("residual", error, df, float("nan"), float("nan")))


def _signs(k: int, subset: Sequence[int]) -> NDArray[np.float64]:
    """+1 or -1 per cell: the product of the levels of the factors in `subset`."""
    bits = (np.arange(2**k)[:, None] >> np.array(subset)) & 1
    signs: NDArray[np.float64] = np.prod(2.0 * bits - 1.0, axis=1)
    return signs


def _estimate(values: Matrix, weights: NDArray[np.float64]) -> Contrast:
    """t-test on one contrast per block; weights are scaled so that half of them sum to 1."""
    per_block = values @ (weights / (np.abs(weights).sum() / 2))
    n = len(per_block)
    return contrast(float(per_block.mean()), float(per_block.std(ddof=1) / np.sqrt(n)), n - 1)


def _simple(values: Matrix, k: int, factor: int, given: int, on: bool) -> Contrast:
    there = ((np.arange(2**k) >> given) & 1) == int(on)
    return _estimate(values, _signs(k, (factor,)) * there)


def _adjusted(found: dict[tuple[int, ...], Contrast], factors: Sequence[str]) -> tuple[Effect, ...]:
    adjusted = holm([c.p for c in found.values()])
    return tuple(Effect(tuple(factors[i] for i in s), c, p) for (s, c), p in zip(found.items(), adjusted, strict=True))


def _check(values: Matrix, factors: Sequence[str], least: int) -> None:
    if values.ndim != 2 or values.shape[1] != 2 ** len(factors) or not factors:
        wanted = f"one column per cell of {len(factors)} factors ({2 ** len(factors)})"
        raise ConfigError(f"factorial: expected {wanted}, got an array of shape {values.shape}")
    if len(values) < least:
        raise ConfigError(f"factorial: expected at least {least} seeds, got {len(values)}")
