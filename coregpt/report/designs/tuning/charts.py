"""Charts of tuning as SVG text: the expected best of k trials, and the loss over the values of one option."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coregpt.report.drawing import svg
from coregpt.report.drawing.charts import figure
from coregpt.report.facts.model import Report

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 640.0, 312.0, 76.0, 34.0, 260.0, 520.0
RINGS = 4
"""Sizes of dots; arms take them in turn, so that equal trials of two arms are rings and do not hide each other."""


@dataclass(frozen=True)
class Series:
    """What one arm adds to a chart."""

    arm: str
    points: list[tuple[float, float]]
    joined: bool = False
    """Whether a line goes through the points."""
    used: float | None = None
    """Where the trial that was used stands."""
    lost: tuple[float, ...] = ()
    """Where trials stand that have no finite loss."""

    @property
    def places(self) -> list[float]:
        """Everything it shows, along the x-axis."""
        return [*(x for x, _ in self.points), *self.lost]


def expected_best_chart(report: Report) -> str:
    """One line per arm over the number of trials."""
    assert report.tuning is not None
    series = [
        Series(each.arm, [(float(k), v) for k, v in enumerate(each.expected_best, 1) if math.isfinite(v)], joined=True)
        for each in report.tuning.arms
    ]
    return _chart(report, series, f"Expected lowest mean {report.trial_metric} by number of trials", "trials")


def response_chart(report: Report, path: str) -> str:
    """Mean loss of every trial over the value of one option, for the arms that tune it."""
    assert report.tuning is not None
    having = [each for each in report.tuning.arms if path in each.space]
    series = [
        Series(
            each.arm,
            [(trial.settings[path], trial.mean) for trial in each.trials if math.isfinite(trial.mean)],
            used=each.best.settings[path],
            lost=tuple(trial.settings[path] for trial in each.trials if not math.isfinite(trial.mean)),
        )
        for each in having
    ]
    log = all(_is_log(each.space[path]) for each in having)
    return _chart(report, series, f"Mean {report.trial_metric} of each trial by {path}", path, log)


def numeric_paths(report: Report) -> list[str]:
    """Options whose values are numbers, so that they have a place on an axis."""
    assert report.tuning is not None
    values: dict[str, list[Any]] = {}
    for trial in (trial for each in report.tuning.arms for trial in each.trials):
        for path, value in trial.settings.items():
            values.setdefault(path, []).append(value)
    return [path for path, found in values.items() if all(type(value) in (int, float) for value in found)]


def _is_log(space: Any) -> bool:
    return isinstance(space, dict) and bool(space["log"])


def _chart(report: Report, series: Sequence[Series], label: str, unit: str, log: bool = False) -> str:
    """Empty where no arm has a finite loss."""
    places = [x for each in series for x in each.places]
    losses = [y for each in series for _, y in each.points]
    if not losses:
        return ""
    ends = (math.log10(min(places)), math.log10(max(places))) if log else (min(places), max(places))
    x = svg.Scale(*svg.padded(*ends), LEFT, RIGHT)
    y = svg.Scale(*svg.padded(min(losses), max(losses), 0.08), BOTTOM, TOP)
    order = [arm.name for arm in report.study.arms]
    parts = [svg.line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"), *svg.ruled(y, LEFT, RIGHT), *_ticks(x, log)]
    parts.append(svg.text((LEFT + RIGHT) / 2, BOTTOM + 44, f"{unit} (log scale)" if log else unit, "label", "middle"))
    parts.append(svg.text(LEFT, 14, label, "label"))
    for row, each in reversed(list(enumerate(series))):
        drawn = [*_marks(each, x, y, log, 4.5 + 2.0 * (row % RINGS)), *_key(each.arm, TOP + 10 + 20 * row)]
        parts.append(svg.element("g", "".join(drawn), class_=f"s{order.index(each.arm)}"))
    return figure("".join(parts), WIDTH, HEIGHT, label)


def _marks(series: Series, x: svg.Scale, y: svg.Scale, log: bool, radius: float) -> list[str]:
    """A line with dots; or hollow dots, the used one filled, and a cross at the top for what has no loss."""

    def at(place: float) -> float:
        return x(math.log10(place) if log else place)

    marks = [svg.polyline([(at(place), y(loss)) for place, loss in series.points], "mean")] if series.joined else []
    best = min(loss for _, loss in series.points) if series.points else None
    for place, loss in series.points:
        used = place == series.used and loss == best
        kind = "dot" if series.joined or used else "hollow"
        size = 4.0 if series.joined else radius
        marks.append(svg.element("circle", cx=at(place), cy=y(loss), r=size, class_=kind))
    return [*marks, *(svg.text(at(place), TOP + 12, "×", "cross", "middle") for place in series.lost)]


def _key(arm: str, height: float) -> list[str]:
    dot = svg.element("circle", cx=RIGHT + 16, cy=height, r=4.0, class_="dot")
    return [dot, svg.text(RIGHT + 26, height + 4, arm, "end")]


def _ticks(x: svg.Scale, log: bool) -> list[str]:
    """Round values along the bottom; on a log scale 1, 2 and 5 of every power of ten."""
    ticks = x.ticks(6)
    places = list(zip(ticks, svg.tick_labels(ticks), strict=True))
    if log:
        powers = range(math.floor(x.low), math.ceil(x.high) + 1)
        values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        places = [(math.log10(value), f"{value:g}") for value in values if x.low <= math.log10(value) <= x.high]
    parts = []
    for place, label in places:
        parts += [svg.line(x(place), BOTTOM, x(place), BOTTOM + 5, "axis")]
        parts += [svg.text(x(place), BOTTOM + 22, label, "tick", "middle")]
    return parts
