"""The noise report as pages: Markdown, HTML with a picture of the grid, JSON, and lines for a terminal."""

import json
import math
from itertools import chain

from coregpt.report.designs.noise.analysis import NoiseReport
from coregpt.report.drawing import svg
from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.markup import Code, Items, Labelled, Section, blocks_html, paragraph, wide
from coregpt.report.drawing.numbers import DASH, fixed, plural, si
from coregpt.report.drawing.page import Page, html, markdown
from coregpt.report.drawing.tables import Table

WIDTH, HEIGHT, LEFT, BOTTOM = 720.0, 300.0, 70.0, 250.0


def render_noise(report: NoiseReport) -> dict[str, str]:
    """File name -> content: report.html, report.md, report.json. Equal reports give equal bytes."""
    data = report.model_dump(mode="json")
    text = json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    page = noise_page(report)
    return {"report.html": html(page), "report.md": markdown(page), "report.json": text}


def noise_lines(report: NoiseReport) -> list[str]:
    """What the numbers mean, in plain sentences: the terminal's answer and the top of both pages."""
    low, high = report.spread
    digits = _digits(report)
    inits, orders = len(report.values), len(report.values[0])
    lines = [
        f"{report.arm}: {plural(inits * orders, 'run')} that differ in nothing but luck end between {low:.{digits}f} "
        f"and {high:.{digits}f} {report.unit}; the standard deviation of one run is {report.sd:.2g}."
    ]
    if report.sd:
        shares = ", ".join(f"{c.source} {c.share:.0%}" for c in report.components)
        lines.append(f"Shares of that variance: {shares}.")
    times = plural(len(report.repeats), "execution")
    if report.identical:
        lines.append(f"Repetition: {times} of one run gave the same number to the last bit ({report.device}).")
    else:
        gap = max(report.repeats) - min(report.repeats)
        lines.append(
            f"Repetition: {times} of one run differ by up to {gap:.2g} ({report.device}): "
            "not even the same run gives the same number."
        )
    cautious, hopeful = report.unpaired, report.best_paired
    lines.append(
        f"A difference of two runs has a standard deviation of {cautious.sd:.2g} with independent seeds; pairing by "
        f"seed brings it to {hopeful.sd:.2g} where a technique keeps the luck of weights and that of order, and lower "
        "where it keeps the luck of the two together too."
    )
    if report.detectable_with(5) is not None:
        lines.append(
            f"Do not trust a difference below {2 * cautious.sd:.2g} from one run each; 5 seeds find "
            f"{report.detectable_with(5):.2g} with probability {report.power:g} even if pairing buys nothing."
        )
    return lines


def sources_table(report: NoiseReport) -> Table:
    """Where the luck comes from."""
    rows = [
        (
            c.source,
            f"{c.sd:.2g}",
            " to ".join(f"{math.sqrt(bound):.2g}" for bound in c.interval),
            f"{c.share:.0%}",
            str(c.df),
        )
        for c in report.components
    ]
    head = ("source", "sd", "95% interval of the sd", "share of the variance", "df")
    return Table(f"Standard deviation of {report.metric} in {report.unit}, by source", head, rows)


def detectable_table(report: NoiseReport) -> Table:
    """What comparisons can detect, from the worst to the best that pairing can do."""
    rows = [
        (s.shared, f"{s.sd:.2g}", *(DASH if found is None else f"{found:.2g}" for found in s.detectable))
        for s in report.sharing
    ]
    head = ("two runs share", "sd of their difference", *(f"{n} seeds" for n in report.seed_counts))
    title = (
        f"Smallest true difference found with probability {report.power:g} at alpha {report.alpha:g}, "
        f"{plural(report.treatments, 'arm')} against the baseline; {DASH} where so few seeds allow no test"
    )
    return Table(title, head, rows)


def grid_table(report: NoiseReport) -> Table:
    """Every run of the grid."""
    digits = _digits(report)
    rows = [(f"weights {i}", *(fixed(value, digits) for value in row)) for i, row in enumerate(report.values)]
    head = ("", *(f"order {j}" for j in range(len(report.values[0]))))
    return Table(f"Final {report.metric} in {report.unit}", head, rows)


def _explanations(report: NoiseReport) -> list[str]:
    found = [
        "Initial weights and data order are crossed; both are random. Components come from the expected mean "
        "squares of that table, intervals from Ting et al. (1990); few levels give wide intervals.",
        "The baseline alone cannot tell how much luck a technique shares with it: that is measured in every study "
        "(seed correlation in its report) and may lie anywhere from the second row to the last.",
        f"Measured at {si(report.parameters)} parameters after {si(report.tokens)} tokens of {report.data} on "
        f"{report.device}; other sizes have other noise.",
    ]
    if report.identical:
        found.append(f"Repeated bits agree: on {report.device} a run is a function of its settings and seeds.")
    return found


def noise_page(report: NoiseReport) -> Page:
    """For both media."""
    title = f"How much luck is in one run of {report.arm}?"
    lead, *lines = noise_lines(report)
    grid, again = grid_table(report), Labelled("Executions of the first run:", tuple(map(repr, report.repeats)))
    words = "One column per data order, one colour per seed of the initial weights."
    runs = paragraph(words) + wide(_picture(report)) + blocks_html((grid, again))
    return Page(
        title=title,
        eyebrow=f"CoreGPT noise · {report.name}",
        heading=title,
        lead=lead,
        sections=(
            Section("What it means", (Items(lines),)),
            Section("Every run", (grid, again), html=runs),
            Section("Where it comes from", (sources_table(report),)),
            Section("What it hides", (detectable_table(report),)),
            Section("How it was measured", (*_explanations(report), Code(report.command))),
        ),
        series=len(report.values),
    )


def _picture(report: NoiseReport) -> str:
    low, high = svg.padded(*report.spread, share=0.1)
    y = svg.Scale(low, high, BOTTOM, 15.0)
    parts = svg.ruled(y, LEFT, WIDTH)
    orders = len(report.values[0])
    width = (WIDTH - LEFT) / orders
    for j in range(orders):
        parts.append(svg.text(LEFT + (j + 0.5) * width, BOTTOM + 22, f"order {j}", "tick", "middle"))
    for i, row in enumerate(report.values):
        xs = [LEFT + (j + 0.5 + 0.3 * (i / max(1, len(report.values) - 1) - 0.5)) * width for j in range(orders)]
        points = list(zip(xs, map(y, row), strict=True))
        drawn = svg.polyline(points, "mean")
        drawn += "".join(svg.element("circle", cx=x, cy=at, r=5.0, class_="dot") for x, at in points)
        drawn += (
            svg.text(xs[-1] + 10, points[-1][1] + 4, f"weights {i}", "label")
            if i in (0, len(report.values) - 1)
            else ""
        )
        parts.append(svg.element("g", drawn, class_=f"s{i}"))
    label = f"Final {report.metric} of every run, by data order and seed of the initial weights"
    return figure("".join(parts), WIDTH + 70, HEIGHT, label)


def _digits(report: NoiseReport) -> int:
    """Decimals that show two digits of the standard deviation."""
    values = set(chain(*report.values))
    return 4 if len(values) == 1 or not report.sd else min(8, max(3, 1 - math.floor(math.log10(report.sd))))
