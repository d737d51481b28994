"""Learning curves with seed bands for four x-axes, and the paired gap to the baseline over training, as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.curves import Band, SeedCurve, gap_band, mean_band, seed_curves, thin
from coregpt.report.drawing.labels import end_labels
from coregpt.report.drawing.numbers import short
from coregpt.report.drawing.svg import Scale, element, line, padded, polygon, polyline, text, tick_labels
from coregpt.report.drawing.units import labelled
from coregpt.report.facts.model import Report

Vector = NDArray[np.float64]

AXES = {"steps": "Steps", "tokens": "Tokens", "seconds": "Time", "flops": "FLOPs"}
HIDDEN_SHARE = 0.3
"""The y-axis ignores this first part of training, where every curve falls steeply."""

WIDTH, HEIGHT = 640.0, 410.0
LEFT, RIGHT, TOP, BOTTOM = 80.0, 506.0, 34.0, 348.0
_MEAN_POINTS, _SEED_POINTS_IN_ALL = 120, 6000


@dataclass(frozen=True)
class ArmCurves:
    """One arm's curves; `index` is its place in the YAML and picks its colour."""

    index: int
    arm: str
    band: Band | None
    seeds: list[SeedCurve]


def arm_curves(report: Report) -> list[ArmCurves]:
    """Curves of every arm that has any, in YAML order."""
    curves = seed_curves(report)
    grouped = [
        (index, arm.name, [c for c in curves if c.run.arm == arm.name]) for index, arm in enumerate(report.study.arms)
    ]
    return [ArmCurves(index, arm, mean_band(seeds), seeds) for index, arm, seeds in grouped if seeds]


def curve_axes(arms: Sequence[ArmCurves]) -> list[str]:
    """The x-axes that can be drawn: 'seconds' only if every arm's time was measured."""
    bands = [arm.band for arm in arms if arm.band is not None]
    return [axis for axis in AXES if bands and all(axis in band.x for band in bands)]


def learning_curves(report: Report, arms: Sequence[ArmCurves], axis: str) -> str:
    """Mean over finished seeds, range band, faint seeds; the y-axis starts after the first fall."""
    bands = [(arm, arm.band) for arm in arms if arm.band is not None]
    y = Scale(*_y_range([band for _, band in bands]), BOTTOM, TOP)
    longest = max(float(band.x[axis].max()) for _, band in bands)
    divisor, words = axis_unit(axis, longest)
    x = Scale(0.0, longest / divisor, LEFT, RIGHT)
    lines_in_all = sum(len(arm.seeds) for arm in arms)
    budget = max(20, min(_MEAN_POINTS, _SEED_POINTS_IN_ALL // max(1, lines_in_all)))
    inside = []
    for arm, band in bands:
        inside.append(element("g", _area(band, axis, divisor, x, y), class_=f"s{arm.index} area"))
    for arm in arms:
        seeds = "".join(_seed_line(curve, axis, divisor, x, y, budget) for curve in arm.seeds)
        inside.append(element("g", seeds, class_=f"s{arm.index} seeds"))
    for arm, band in bands:
        points = _thinned(band.x[axis] / divisor, band.middle, _MEAN_POINTS)
        inside.append(element("g", polyline(((x(a), y(b)) for a, b in points), "mean"), class_=f"s{arm.index}"))
    ends = [(arm, y(float(band.middle[-1]))) for arm, band in bands]
    framed = frame(x, y, words, labelled(report.study.curve_metric, report.study.unit), f"clip-{axis}", "".join(inside))
    label = (
        f"{report.study.curve_metric} against {words} for {len(bands)} arms: mean, range over seeds, and single seeds"
    )
    return figure(framed + _names(ends), WIDTH, HEIGHT, label)


def gap_curves(report: Report, arms: Sequence[ArmCurves]) -> str | None:
    """Paired gain over the baseline along training with pointwise 95% bands; None without curves to pair."""
    baseline = next((arm for arm in arms if arm.arm == report.study.baseline), None)
    if baseline is None or not report.study.paired:
        return None
    gaps = [(arm, gap_band(baseline.seeds, arm.seeds)) for arm in arms if arm.arm in report.study.treatments]
    drawn = [(arm, band) for arm, band in gaps if band is not None]
    if not drawn:
        return None
    low, high = _y_range([band for _, band in drawn])
    y = Scale(min(low, 0.0), max(high, 0.0), BOTTOM, TOP)
    x = Scale(0.0, max(float(band.x["steps"].max()) for _, band in drawn), LEFT, RIGHT)
    margin = report.study.margin
    inside = [
        element("rect", x=LEFT, y=y(margin), width=RIGHT - LEFT, height=y(-margin) - y(margin), class_="margin"),
        line(LEFT, y(0), RIGHT, y(0), "zero"),
    ]
    for arm, band in drawn:
        points = _thinned(band.x["steps"], band.middle, _MEAN_POINTS)
        mean = polyline(((x(a), y(b)) for a, b in points), "mean")
        inside.append(element("g", _area(band, "steps", 1.0, x, y) + mean, class_=f"s{arm.index} area"))
    ends = [(arm, y(float(band.middle[-1]))) for arm, band in drawn]
    framed = frame(x, y, "training steps", labelled("gain", report.study.unit), "clip-gap", "".join(inside))
    label = f"Gain of each arm over {report.study.baseline} during training; above zero the arm is ahead"
    return figure(framed + _names(ends), WIDTH, HEIGHT, label)


def _y_range(bands: Sequence[Band]) -> tuple[float, float]:
    visible = []
    for band in bands:
        late = band.x["steps"] >= HIDDEN_SHARE * band.x["steps"].max()
        visible += [band.low[late], band.high[late]]
    values = np.concatenate(visible)
    values = values[np.isfinite(values)]
    return padded(float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def axis_unit(axis: str, longest: float) -> tuple[float, str]:
    """Divisor and axis title, so that tick labels stay short."""
    if axis == "steps":
        return 1.0, "training steps"
    if axis == "seconds":
        for divisor, name in ((3600.0, "hours"), (60.0, "minutes")):
            if longest >= 1.5 * divisor:
                return divisor, f"training time ({name})"
        return 1.0, "training time (seconds)"
    noun = "training tokens" if axis == "tokens" else "training FLOPs"
    for power, name in (
        (18, "10¹⁸"),
        (15, "10¹⁵"),
        (12, "10¹²"),
        (9, "billions"),
        (6, "millions"),
        (3, "thousands"),
    ):
        if longest >= 2 * 10.0**power:
            return 10.0**power, f"{noun} ({name})"
    return 1.0, noun


def _thinned(x: Vector, y: Vector, limit: int) -> list[tuple[float, float]]:
    return [(float(x[i]), float(y[i])) for i in thin(len(x), limit)]


def _area(band: Band, axis: str, divisor: float, x: Scale, y: Scale) -> str:
    along = band.x[axis] / divisor
    upper = _thinned(along, band.high, _MEAN_POINTS)
    lower = _thinned(along, band.low, _MEAN_POINTS)
    return polygon(((x(a), y(b)) for a, b in upper + lower[::-1]), "band")


def _seed_line(curve: SeedCurve, axis: str, divisor: float, x: Scale, y: Scale, budget: int) -> str:
    if axis not in curve.x:
        return ""
    points = [(a, b) for a, b in _thinned(curve.x[axis] / divisor, curve.value, budget) if np.isfinite(b)]
    if curve.run.status in ("finished", "aborted") or not points:
        return polyline(((x(a), y(b)) for a, b in points), "seed")
    last_x, last_y = points[-1]
    mark_y = min(max(y(last_y), TOP + 10), BOTTOM - 10)
    return polyline(((x(a), y(b)) for a, b in points), "seed broken") + text(
        x(last_x), mark_y + 6, "×", "cross", "middle"
    )


def frame(x: Scale, y: Scale, x_title: str, y_title: str, clip: str, inside: str) -> str:
    """Grid, axes and titles around what is drawn inside; `clip` is an id that no other picture of the page has."""
    parts = []
    ticks = y.ticks(6)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [
            line(LEFT, y(tick), RIGHT, y(tick), "grid"),
            text(LEFT - 8, y(tick) + 5, label, "tick", "end"),
        ]
    window = element("rect", x=LEFT, y=TOP, width=RIGHT - LEFT, height=BOTTOM - TOP)
    parts.append(element("clipPath", window, id=clip))
    parts.append(element("g", inside, clip_path=f"url(#{clip})"))
    parts.append(line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"))
    ticks = x.ticks(5)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [
            line(x(tick), BOTTOM, x(tick), BOTTOM + 5, "axis"),
            text(x(tick), BOTTOM + 24, label, "tick", "middle"),
        ]
    parts.append(text((LEFT + RIGHT) / 2, BOTTOM + 50, x_title, "label", "middle"))
    parts.append(text(2, 20, y_title, "label"))
    return "".join(parts)


def _names(ends: list[tuple[ArmCurves, float]]) -> str:
    """Of arms, at the right end of their lines."""
    named = [(arm.index, short(arm.arm), height) for arm, height in ends]
    return end_labels(RIGHT + 8, named, TOP + 10, BOTTOM)
