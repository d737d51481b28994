"""The trend over sizes as pages: Markdown, HTML with a chart of the gaps, JSON, and lines for a terminal."""

import json
import math

from coregpt.report.designs.sizes.analysis import ArmTrend, TrendReport
from coregpt.report.drawing import svg
from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.markup import Code, Items, Labelled, Section, paragraph, table_html, wide
from coregpt.report.drawing.numbers import DASH, p_value, si, signed, span
from coregpt.report.drawing.page import Page, html, markdown
from coregpt.report.drawing.tables import Table

WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT = 640.0, 320.0, 70.0, 270.0, 560.0


def render_trend(report: TrendReport) -> dict[str, str]:
    """File name -> content: report.html, report.md, trend.json. Equal reports give equal bytes."""
    data = report.model_dump(mode="json")
    text = json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    page = trend_page(report)
    return {"report.html": html(page), "report.md": markdown(page), "trend.json": text}


def trend_lines(report: TrendReport) -> list[str]:
    """The terminal's answer, and the top of both pages."""
    return [f"{arm.arm}: {arm.claim}. {arm.sentence}" for arm in report.arms]


def gaps_table(report: TrendReport, arm: ArmTrend) -> Table:
    """One arm at every size."""
    rows = [
        (
            f"{point.size} ({si(point.parameters)})",
            si(point.tokens),
            signed(point.gap, 5),
            DASH if point.se is None else f"{point.se:.2g}",
            DASH if point.df is None else f"{point.df:.3g}",
            point.verdict,
        )
        for point in arm.points
    ]
    head = ("size (parameters)", "tokens", f"gain, {report.unit}", "SE", "df", "verdict at this size")
    return Table(f"{arm.arm} against {report.baseline}, by size", head, rows)


def slopes_table(report: TrendReport) -> Table:
    """The line of every arm."""
    rows = [
        (
            arm.arm,
            arm.claim,
            signed(arm.slope, 5),
            span(arm.slope_interval, 5),
            DASH if arm.slope_df is None else f"{arm.slope_df:.3g}",
            p_value(arm.p),
            signed(arm.at_largest, 5),
            span(arm.at_largest_interval, 5),
        )
        for arm in report.arms
    ]
    head = ("arm", "claim", "slope", "interval", "df", "p", "line at the largest size", "interval")
    return Table(f"Gain in {report.unit} per tenfold parameters", head, rows)


def trend_page(report: TrendReport) -> Page:
    """For both media."""
    slopes = slopes_table(report)
    words = "Bars are 95% intervals of one size; the line ends at the largest size measured."
    why = (f"Exploratory: {report.exploratory}",) if report.exploratory else ()
    digests = (Labelled(f"{name}: preregistration", (digest,)) for name, digest in report.studies.items())
    return Page(
        title=report.question,
        eyebrow=f"CoreGPT sizes · {report.name}",
        heading=report.question,
        lead="",
        sections=(
            Section("Does it hold as models grow?", (Items(trend_lines(report)), *why)),
            Section("The gap over size", (slopes,), html=paragraph(words) + wide(chart(report)) + table_html(slopes)),
            Section("Every size", tuple(gaps_table(report, arm) for arm in report.arms)),
            Section("How it was decided", (*report.method, *digests, Code(report.command))),
        ),
        series=len(report.arms),
    )


def chart(report: TrendReport) -> str:
    """Gap with its interval at each size, and the line, one colour per arm."""
    points = [point for arm in report.arms for point in arm.points]
    reach = [0.0, *(end for point in points for end in (point.interval or (point.gap or 0.0,)))]
    y = svg.Scale(*svg.padded(min(reach), max(reach), 0.08), BOTTOM, 15.0)
    logs = [math.log10(point.parameters) for point in points]
    x = svg.Scale(*svg.padded(min(logs), max(logs), 0.08), LEFT, RIGHT)
    parts = [svg.line(LEFT, y(0.0), RIGHT, y(0.0), "axis"), *svg.ruled(y, LEFT, RIGHT)]
    for point in report.arms[0].points:
        words = f"{point.size} ({si(point.parameters)})"
        parts.append(svg.text(x(math.log10(point.parameters)), BOTTOM + 22, words, "tick", "middle"))
    for i, arm in enumerate(report.arms):
        parts.append(svg.element("g", _series(arm, x, y), class_=f"s{i}"))
    label = f"Gain in {report.unit} over {report.baseline} by number of parameters, with 95% intervals"
    return figure("".join(parts), WIDTH, HEIGHT, label)


def _series(arm: ArmTrend, x: svg.Scale, y: svg.Scale) -> str:
    drawn = ""
    for point in arm.points:
        at = x(math.log10(point.parameters))
        if point.gap is None:
            continue
        if point.interval is not None:
            drawn += svg.polyline([(at, y(end)) for end in point.interval], "mean")
        drawn += svg.element("circle", cx=at, cy=y(point.gap), r=5.0, class_="dot")
    last = arm.points[-1]
    if arm.at_smallest is not None and arm.at_largest is not None:
        ends = ((arm.points[0], arm.at_smallest), (last, arm.at_largest))
        drawn += svg.polyline([(x(math.log10(point.parameters)), y(gap)) for point, gap in ends], "mean")
        drawn += svg.text(x(math.log10(last.parameters)) + 10, y(arm.at_largest) + 4, arm.arm, "label")
    return drawn
