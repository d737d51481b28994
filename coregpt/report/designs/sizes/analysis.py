"""The reports of one question at several sizes -> does the gap to the baseline hold as models grow? Pure."""

from collections.abc import Sequence
from typing import Literal

from coregpt.report.drawing.numbers import fixed, listing, p_phrase, plural, si, signed, span
from coregpt.report.facts.base import Facts, Interval
from coregpt.report.facts.model import Comparison, Report, Word
from coregpt.stats.contrasts import t_interval
from coregpt.stats.trend import RANDOM_SIZES_FROM, Trend, trend

Claim = Literal["holds with size", "shrinks", "uncertain"]


class SizePoint(Facts):
    """One arm at one size; the gap is a gain, positive means the arm is better. None where it cannot be had."""

    size: str
    parameters: int
    tokens: int
    gap: float | None
    se: float | None
    df: float | None
    interval: Interval | None
    verdict: Word
    """The size's own verdict."""


class ArmTrend(Facts):
    """One arm over all sizes. The slope is per factor of ten in parameters; intervals hold for all arms together."""

    arm: str
    points: tuple[SizePoint, ...]
    claim: Claim
    sentence: str
    cause: str = ""
    """Why there is no line; empty if there is one."""
    slope: float | None = None
    slope_se: float | None = None
    slope_df: float | None = None
    slope_interval: Interval | None = None
    p: float | None = None
    """Of a slope of zero, this arm alone."""
    at_smallest: float | None = None
    at_largest: float | None = None
    at_largest_interval: Interval | None = None


class TrendReport(Facts):
    """What the studies of all sizes say together."""

    name: str
    question: str
    baseline: str
    metric: str
    unit: str
    alpha: float
    studies: dict[str, str]
    """Digest of each size's preregistration, by the name of its study."""
    exploratory: str
    arms: tuple[ArmTrend, ...]
    method: tuple[str, ...]
    command: str


def trends(name: str, sizes: Sequence[str], reports: Sequence[Report]) -> TrendReport:
    """`reports` are those of `sizes`, smallest first."""
    first = reports[0].study
    why = {f"{size}: {r.study.exploratory}" for size, r in zip(sizes, reports, strict=True) if r.study.exploratory}
    exploratory = "; ".join(sorted(why))
    arms = tuple(_arm(arm, sizes, reports, exploratory) for arm in first.treatments)
    return TrendReport(
        name=name,
        question=first.question,
        baseline=first.baseline,
        metric=first.metric,
        unit=first.unit,
        alpha=first.alpha,
        studies={r.study.name: r.study.digest for r in reports},
        exploratory=exploratory,
        arms=arms,
        method=_method(reports),
        command=first.command,
    )


def _arm(arm: str, sizes: Sequence[str], reports: Sequence[Report], exploratory: str) -> ArmTrend:
    points = tuple(_point(arm, size, report) for size, report in zip(sizes, reports, strict=True))
    prefix = "Exploratory: " if exploratory else ""
    without = [point.size for point in points if point.gap is None]
    if without:
        cause = f"no complete difference at {listing(without)}, and the line needs every declared size"
        return ArmTrend(arm=arm, points=points, claim="uncertain", sentence=f"{prefix}{arm}: {cause}.", cause=cause)
    line = trend(
        [point.parameters for point in points],
        [point.gap or 0.0 for point in points],
        [point.se or 0.0 for point in points],
        [point.df or 1.0 for point in points],
    )
    level = 1 - reports[0].study.alpha / len(reports[0].study.treatments)
    bounds = t_interval(line.slope, level)
    claim = _claim(points[-1], line, bounds)
    found = ArmTrend(
        arm=arm,
        points=points,
        claim=claim,
        sentence="",
        slope=line.slope.gain,
        slope_se=line.slope.se,
        slope_df=line.slope.df,
        slope_interval=bounds,
        p=line.slope.p,
        at_smallest=line.at_smallest.gain,
        at_largest=line.at_largest.gain,
        at_largest_interval=t_interval(line.at_largest, level),
    )
    return found.model_copy(update={"sentence": prefix + _sentence(found, reports[0])})


def _point(arm: str, size: str, report: Report) -> SizePoint:
    """A gap that is conditional on which runs finished is none."""
    c = next(c for c in report.comparisons if c.arm == arm)
    base = next(each for each in report.study.arms if each.name == report.study.baseline)
    whole = _whole(c)
    return SizePoint(
        size=size,
        parameters=base.parameters or 0,
        tokens=base.tokens or 0,
        gap=c.gain if whole else None,
        se=c.se if whole else None,
        df=c.df if whole else None,
        interval=c.interval,
        verdict=c.verdict,
    )


def _whole(c: Comparison) -> bool:
    return c.verdict not in ("invalid", "unstable") and not c.gain_condition and c.se is not None and c.df is not None


def _claim(largest: SizePoint, line: Trend, bounds: Interval) -> Claim:
    """Shrinking is towards zero from where the line starts; holding needs a verdict at the largest size itself."""
    side = line.at_smallest.gain
    if (side > 0 and bounds[1] < 0) or (side < 0 and bounds[0] > 0):
        return "shrinks"
    return "holds with size" if largest.verdict in ("better", "worse") else "uncertain"


def _sentence(found: ArmTrend, report: Report) -> str:
    study, largest = report.study, found.points[-1]
    assert found.slope is not None
    assert found.at_smallest is not None
    rate = (
        f"{signed(found.slope, 4)} {study.unit} per tenfold parameters "
        f"(interval {span(found.slope_interval, 4)}, {p_phrase(found.p)})"
    )
    own = f"at {largest.size}, the largest size ({si(largest.parameters)} parameters), its own verdict is"
    if found.claim == "shrinks":
        what = "advantage" if found.at_smallest > 0 else "disadvantage"
        return f"The {what} of {found.arm} over {study.baseline} shrinks with size: {rate}; {own} {largest.verdict}."
    gap = f"{fixed(abs(largest.gap or 0.0), 4)} {study.unit}"
    if found.claim == "holds with size":
        return f"The gap of {found.arm} holds with size: {own} {largest.verdict}, by {gap}; the gap changes by {rate}."
    return (
        f"Uncertain whether the gap of {found.arm} holds with size: {own} {largest.verdict}, and it changes by {rate}."
    )


def _method(reports: Sequence[Report]) -> tuple[str, ...]:
    study, sizes = reports[0].study, len(reports)
    low, high = (
        next(arm.parameters for arm in r.study.arms if arm.name == r.study.baseline) for r in (reports[0], reports[-1])
    )
    noise = (
        "the scatter of the sizes about the line, sizes - 2 degrees of freedom"
        if sizes >= RANDOM_SIZES_FROM
        else "the noise within the sizes, Satterthwaite's degrees of freedom"
    )
    both = f"{1 - study.alpha:.0%} for all {plural(len(study.treatments), 'arm')} together"
    return (
        f"A straight line through the gaps of {sizes} sizes over log10 of the baseline's parameters, embeddings "
        f"included; every size counts alike. Its uncertainty is {noise}; intervals hold with {both}.",
        "'holds with size': the largest size's own verdict is better or worse, and the gap is not shown to shrink. "
        "'shrinks': the interval of the slope lies on the side of zero that brings the gap down. Else 'uncertain'.",
        f"Measured from {si(low)} to {si(high)} parameters. Nothing is said about larger models.",
    )
