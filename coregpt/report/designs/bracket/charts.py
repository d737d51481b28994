"""One picture per arm as SVG text: its losses over the values tried, the curve through them, and where the test ran.

All pictures of a report have the same scale of losses, and where there is room for it the same axes. Losses are those
that are fitted: values far from the best are arrows, as they would flatten everything else.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from coregpt.report.drawing import svg
from coregpt.report.drawing.charts import figure
from coregpt.report.facts.base import Interval
from coregpt.report.facts.bracket import ArmBracket
from coregpt.report.facts.model import Report
from coregpt.stats.bracket import mean_loss
from coregpt.stats.response import fitted

WIDTH, HEIGHT, LEFT, RIGHT = 400.0, 344.0, 66.0, 384.0
LOST, FAR, TOP, LOW, STRIP, BOTTOM = 24.0, 44.0, 50.0, 246.0, 262.0, 278.0
"""Heights, downwards: crosses, arrows, the losses from top to low, what was found, the axis."""
CLEAR = 14.0
"""Top of the losses where no arm has a cross or an arrow."""
ONE_HEIGHT, ONE_WIDTH = 1.7, 2.5
"""Axes are in common if all arms together need at most so many times the span of losses of the arm with most, and the
octaves of the arm with fewest."""
ROOM = 56.0
"""Pixels between labels of values."""
ROUND = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
STEPS = 48
"""Pieces that a fitted curve is drawn in."""


@dataclass(frozen=True)
class Frame:
    """The scales of one picture: log2 of the setting, and losses."""

    x: svg.Scale
    y: svg.Scale


def response_charts(report: Report) -> list[tuple[ArmBracket, str]]:
    """Every arm with its picture, in the study's order."""
    found = report.study.bracket
    assert found is not None
    heights, widths = _heights(found.arms), _widths(found.arms)
    crowded = any(loss > up[1] for each, up in zip(found.arms, heights, strict=True) for loss in _losses_of(each))
    drawn = []
    for each, across, up in zip(found.arms, widths, heights, strict=True):
        x, y = svg.Scale(*across, LEFT, RIGHT), svg.Scale(*up, LOW, TOP if crowded else CLEAR)
        label = f"{found.metric(report.study.metric)} of {each.arm} over {found.setting}, and the curve through it"
        drawn.append((each, figure("".join(_parts(each, Frame(x, y), found.setting)), WIDTH, HEIGHT, label)))
    return drawn


def place(each: ArmBracket, x: float) -> float:
    """log2 of the setting, x octaves from the declared value."""
    return math.log2(each.declared) + x


def _heights(arms: Sequence[ArmBracket]) -> list[Interval]:
    """Losses by arm: all the same, or equally high from the lowest of each."""
    near = [[loss for x in fitted(each.tried) for loss in each.tried[x]] for each in arms]
    shown = [[*losses, *(y for _, y in _curve(each))] for losses, each in zip(near, arms, strict=True)]
    known = [(min(losses), max(losses)) for losses in shown if losses] or [(0.0, 1.0)]
    low, high = min(low for low, _ in known), max(high for _, high in known)
    span = max(high - low for low, high in known)
    if high - low <= ONE_HEIGHT * span:
        return [svg.padded(low, high, 0.08)] * len(arms)
    lows = [min(losses, default=low) for losses in shown]
    return [svg.padded(low, low + span, 0.08) for low in lows]


def _widths(arms: Sequence[ArmBracket]) -> list[Interval]:
    """log2 of the setting by arm: all the same, or each its own."""
    own = [(place(each, min(each.tried)), place(each, max(each.tried))) for each in arms]
    low, high = min(low for low, _ in own), max(high for _, high in own)
    if high - low <= ONE_WIDTH * min(high - low for low, high in own):
        own = [(low, high)] * len(arms)
    return [svg.padded(*each, 0.06) for each in own]


def _losses_of(each: ArmBracket) -> Iterator[float]:
    return (loss for losses in each.tried.values() for loss in losses)


def _parts(each: ArmBracket, frame: Frame, setting: str) -> Iterator[str]:
    yield from _cliff(each, frame)
    yield from _grid(each, frame)
    yield from _ticks(frame.x)
    yield svg.text((LEFT + RIGHT) / 2, HEIGHT - 8, f"{setting} (log scale)", "label", "middle")
    declared = frame.x(place(each, 0.0))
    yield svg.line(declared, frame.y.stop, declared, BOTTOM, "zero lost")
    yield from _losses(each, frame)
    yield svg.polyline([(frame.x(place(each, x)), frame.y(loss)) for x, loss in _curve(each)], "mean")
    yield from _means(each, frame)
    yield from _found(each, frame)


def _curve(each: ArmBracket) -> list[tuple[float, float]]:
    """The fit over the values it was made from; nothing where there is none."""
    if not each.coefficients:
        return []
    points = fitted(each.tried)
    xs = np.linspace(points[0], points[-1], STEPS + 1)
    return list(zip(xs.tolist(), np.polynomial.polynomial.polyval(xs, each.coefficients).tolist(), strict=True))


def _cliff(each: ArmBracket, frame: Frame) -> Iterator[str]:
    """Shaded from the lowest value above the best at which a run diverged."""
    if each.cliff is not None and each.optimum is not None:
        left = frame.x(place(each, each.cliff))
        yield svg.element("rect", x=left, y=6, width=RIGHT - left, height=BOTTOM - 6, class_="band")


def _losses(each: ArmBracket, frame: Frame) -> Iterator[str]:
    """A dot for each tuning seed; a cross where any diverged, an arrow where any lies above the picture."""
    for x, losses in each.tried.items():
        at = frame.x(place(each, x))
        finite = [loss for loss in losses if math.isfinite(loss)]
        inside = [loss for loss in finite if loss <= frame.y.high]
        for loss in inside:
            yield svg.element("circle", cx=at, cy=min(frame.y(loss), LOW), r=3.5, class_="dot", opacity="0.5")
        if len(finite) < len(losses):
            yield svg.text(at, LOST, "×", "cross", "middle")
        if len(inside) < len(finite):
            yield svg.text(at, FAR, "↑", "cross", "middle")


def _means(each: ArmBracket, frame: Frame) -> Iterator[str]:
    for x, losses in each.tried.items():
        mean = mean_loss(losses)
        if math.isfinite(mean) and mean <= frame.y.high:
            yield svg.element("circle", cx=frame.x(place(each, x)), cy=frame.y(mean), r=5.5, class_="hollow")


def _found(each: ArmBracket, frame: Frame) -> Iterator[str]:
    """What the test ran with, above the axis, and the interval of the minimum as far as the picture goes."""
    if each.interval is not None:
        low, high = (min(max(frame.x(place(each, end)), LEFT), RIGHT) for end in each.interval)
        yield svg.line(low, STRIP, high, STRIP, "bar")
    at = frame.x(math.log2(each.value))
    yield svg.line(at, frame.y.stop, at, BOTTOM, "whisker")
    yield svg.element("circle", cx=at, cy=STRIP, r=6.5, class_="dot")


def _grid(each: ArmBracket, frame: Frame) -> Iterator[str]:
    yield svg.line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis")
    if not any(map(math.isfinite, _losses_of(each))):
        yield svg.text((LEFT + RIGHT) / 2, (TOP + LOW) / 2, "every run diverged", "tick", "middle")
        return
    yield from svg.ruled(frame.y, LEFT, RIGHT, 4)


def _ticks(x: svg.Scale) -> Iterator[str]:
    """As many round values as have room."""
    powers = range(math.floor(x.low * math.log10(2)), math.ceil(x.high * math.log10(2)) + 1)
    ticks: list[float] = []
    for factors in ROUND:
        values = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [value for value in values if x.low <= math.log2(value) <= x.high]
        places = [x(math.log2(value)) for value in ticks]
        if all(right - left >= ROOM for left, right in pairwise(places)):
            break
    for value in ticks:
        at = x(math.log2(value))
        yield svg.line(at, BOTTOM, at, BOTTOM + 5, "axis")
        if at <= WIDTH - ROOM / 2:
            yield svg.text(at, BOTTOM + 24, f"{value:g}", "tick", "middle")
