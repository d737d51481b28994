"""The noise report: how much luck there is in one run, where it comes from, and what it hides. Facts and numbers."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Literal, get_args

import numpy as np

from coregpt.report.facts.base import Facts, Interval
from coregpt.stats.crossed import split_variance
from coregpt.stats.power import smallest_detectable

Source = Literal["initial weights", "data order", "interaction", "repetition"]
SEED_COUNTS = (3, 5, 8, 12)


class Component(Facts):
    """One source of variance: its part of the variance of a run, with a 95% interval, and that part's share."""

    source: Source
    variance: float
    interval: Interval
    df: int
    share: float

    @property
    def sd(self) -> float:
        return math.sqrt(self.variance)


class Sharing(Facts):
    """Two runs, what they have in common, and what a comparison of such runs can detect."""

    shared: str
    sd: float
    """Standard deviation of their difference."""
    paired: bool
    detectable: tuple[float | None, ...]
    """By number of seeds, parallel to the report's `seed_counts`; None where so few seeds allow no test."""


class NoiseReport(Facts):
    """The A/A floor of one arm."""

    kind: Literal["noise"] = "noise"
    schema_version: Literal[1] = 1
    name: str
    arm: str
    question: str
    metric: str
    unit: str
    scale: str
    device: str
    data: str
    parameters: int
    tokens: int
    alpha: float
    power: float
    treatments: int
    """Arms that the study compares with the baseline; they share alpha."""
    values: tuple[tuple[float, ...], ...]
    """Final metric: one row per seed of initial weights, one column per seed of data order."""
    repeats: tuple[float, ...]
    """Final metric of every execution of the first cell."""
    components: tuple[Component, ...]
    seed_counts: tuple[int, ...] = SEED_COUNTS
    sharing: tuple[Sharing, ...]
    run_ids: tuple[str, ...]
    command: str

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def sd(self) -> float:
        """Of one run whose initial weights and data order are both drawn anew."""
        return math.sqrt(sum(c.variance for c in self.components))

    @property
    def identical(self) -> bool:
        """Every execution of the repeated run gave the same number, to the last bit."""
        return len(set(self.repeats)) == 1

    @property
    def unpaired(self) -> Sharing:
        """Runs of one seed that have no more in common than others, compared in pairs all the same."""
        return self.sharing[1]

    @property
    def best_paired(self) -> Sharing:
        """Runs of one seed that share all the luck but the interaction."""
        return self.sharing[4]

    def detectable_with(self, seeds: int) -> float | None:
        """The smallest difference that so many seeds find if pairing buys nothing."""
        return self.unpaired.detectable[self.seed_counts.index(seeds)]

    @property
    def spread(self) -> Interval:
        return min(chain(*self.values)), max(chain(*self.values))


def sharing(components: Sequence[Component], *, alpha: float, power: float, treatments: int) -> tuple[Sharing, ...]:
    """What pairing can and cannot buy. The baseline alone fixes the ends; where in between a technique lies shows
    only when it is tried: it may answer to the same luck like the baseline, or not at all."""
    part = {c.source: c.variance for c in components}
    init, order = part["initial weights"], part["data order"]
    rest = part["interaction"] + part["repetition"]
    found = []
    for shared, variance, paired in (
        ("nothing: independent seeds (Welch)", init + order + rest, False),
        ("paired, but the technique answers to other luck (correlation 0)", init + order + rest, True),
        ("the initial weights only", order + rest, True),
        ("the data order only", init + rest, True),
        ("paired, and the technique keeps the luck of weights and of order", rest, True),
        ("everything: one run, executed twice", part["repetition"], True),
    ):
        sd = math.sqrt(2 * variance)
        detectable = tuple(
            smallest_detectable(sd, n, treatments, alpha=alpha, power=power, paired=paired) for n in SEED_COUNTS
        )
        found.append(Sharing(shared=shared, sd=sd, paired=paired, detectable=detectable))
    return tuple(found)


def components(values: Sequence[Sequence[float]], repeats: Sequence[float]) -> tuple[Component, ...]:
    """The split with shares of the variance of one run; shares are 0 where nothing varies at all."""
    split = split_variance(np.array(values, dtype=float), np.array(repeats, dtype=float))
    parts = (split.rows, split.columns, split.interaction, split.repetition)
    return tuple(
        Component(
            source=source,
            variance=part.variance,
            interval=part.interval,
            df=part.df,
            share=part.variance / split.total if split.total else 0.0,
        )
        for source, part in zip(get_args(Source), parts, strict=True)
    )
