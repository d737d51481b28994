"""Made-up brackets: chosen losses, fitted as a study's are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coregpt.report.analysis.summary import summarise
from coregpt.report.designs.bracket.words import untuned
from coregpt.report.facts.bracket import ArmBracket, Bracketed, RatePoint
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report
from coregpt.stats.response import fit, residual
from tests.report import studies

Tried = Mapping[float, Sequence[float]]
XS = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Of a walk that needs no step further."""


def smooth(
    minimum: float = 0.2,
    curvature: float = 0.03,
    level: float = 3.0,
    *,
    seeds: int = 2,
    luck: int = 0,
    noise: float = 0.001,
) -> dict[float, list[float]]:
    """Losses on a parabola; runs of one seed share most of their luck."""
    rng = np.random.default_rng(luck)
    shared = rng.normal(0, 0.004, seeds)
    return {
        x: [float(y) for y in level + curvature * (x - minimum) ** 2 + shared + rng.normal(0, noise, seeds)] for x in XS
    }


def bracketed(tried: Mapping[str, Tried], setting: str = "optim.lr", declared: float = 0.004) -> Bracketed:
    """Every arm's walk with its fit; the noise is pooled over the arms."""
    noise = residual(list(tried.values()))
    arms = []
    for name, losses in tried.items():
        found = fit(losses, noise)
        value = declared * 2.0 ** (found.optimum or 0.0)
        points = tuple(RatePoint(x=x, value=declared * 2.0**x, losses=tuple(y)) for x, y in sorted(losses.items()))
        runs = sum(map(len, losses.values()))
        arms.append(
            ArmBracket(
                arm=name,
                declared=declared,
                value=value,
                settings={setting: value},
                points=points,
                seeds=tuple(range(1000, 1000 + found.seeds)),
                kind=found.kind,
                optimum=found.optimum,
                minimum=found.minimum,
                interval=found.interval,
                curvature=found.curvature,
                expected_loss=found.expected_loss,
                coefficients=found.coefficients,
                edge=found.edge,
                cliff=found.cliff,
                why_not=found.why_not,
                runs=runs,
                started=runs,
                flops=6e9,
            )
        )
    return Bracketed(setting=setting, arms=tuple(arms))


def facts(tried: Mapping[str, Tried], seeds: int = 6, *, setting: str = "optim.lr", **changes: Any) -> StudyFacts:
    """A study whose arms were bracketed; the first is the baseline."""
    found = bracketed(tried, setting)
    names = tuple(tried)
    return studies.study(names, seeds, bracket=found, incomparable=untuned(found, names[0]), **changes)


def report(
    tried: Mapping[str, Tried],
    values: Mapping[str, Sequence[float | None]],
    *,
    setting: str = "optim.lr",
    **changes: Any,
) -> Report:
    """Its report on a table of final values."""
    seeds = len(next(iter(values.values())))
    return summarise(facts(tried, seeds, setting=setting, **changes), studies.runs(values))
