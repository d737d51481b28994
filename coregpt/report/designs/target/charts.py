"""Kaplan-Meier curves of the time to the target: the share of runs that are still above it, as SVG."""

from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.curve_charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axis_unit, frame
from coregpt.report.drawing.numbers import short
from coregpt.report.drawing.svg import Scale, element, line, polyline, text
from coregpt.report.facts.model import Report
from coregpt.report.facts.target import Arrival, Race


def race_chart(report: Report, race: Race) -> str:
    """One falling staircase per arm in its colour and dashes, named at the right; begins before the first arrival."""
    index = {arm.name: i for i, arm in enumerate(report.study.arms)}
    drawn = [arrival for arrival in race.arrivals if not arrival.cause]
    divisor, words = axis_unit(race.axis, race.end)
    first = min((at for arrival in drawn for at, _ in arrival.still_above), default=0.0)
    start = max(0.0, first - 0.1 * (race.end - first))
    x, y = Scale(start / divisor, race.end / divisor, LEFT, RIGHT), Scale(0.0, 1.0, BOTTOM, TOP)
    inside = "".join(
        element("g", polyline(_stairs(a, race.end, divisor, x, y), "mean"), class_=f"s{index[a.arm]}") for a in drawn
    )
    gap = min(20.0, (BOTTOM - TOP) / max(1, len(drawn)))
    names = "".join(_key(a.arm, f"s{index[a.arm]}", TOP + 10 + i * gap) for i, a in enumerate(drawn))
    framed = frame(x, y, words, f"share of runs above {report.study.target:g}", f"clip-race-{race.axis}", inside)
    label = f"Share of runs of each arm still above {report.study.target:g}, against {words}"
    return figure(framed + names, WIDTH, HEIGHT, label)


def _stairs(arrival: Arrival, end: float, divisor: float, x: Scale, y: Scale) -> list[tuple[float, float]]:
    """From 1 at the start down to what is left at the end of the longest budget."""
    points, share = [(x(x.low), y(1))], 1.0
    for at, left in arrival.still_above:
        points += [(x(at / divisor), y(share)), (x(at / divisor), y(left))]
        share = left
    return [*points, (x(end / divisor), y(share))]


def _key(name: str, series: str, height: float) -> str:
    return element(
        "g",
        line(RIGHT + 8, height, RIGHT + 30, height, "mean") + text(RIGHT + 36, height + 5, short(name), "end"),
        class_=series,
    )
