"""The pages' section on a bracket: what each value came to, the curve through them, what the test allows for."""

import math
from html import escape

from coregpt.report.designs.bracket.charts import response_charts
from coregpt.report.designs.bracket.words import rounded, uncertainty, words
from coregpt.report.drawing.markup import Picture, Section, details, paragraph, table_html
from coregpt.report.drawing.numbers import decimals, duration, fixed, si
from coregpt.report.drawing.standalone import Captioned, sheet
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.bracket import ArmBracket
from coregpt.report.facts.model import Report
from coregpt.report.facts.tuning import shown

TITLE = "Each arm at its own setting"
READING = (
    "Small dots: single seeds. Rings: their means. Curve: the fit, over the values it was made from. Upright line and "
    "dot: the value of the test; the bar below is the 95% interval of the curve's minimum. Dashed: the declared value."
)
LOST = "× marks values at which a run diverged."
CLIFF = "Shaded: from the lowest such value above the best."
FAR = "↑ marks losses above the picture."
EQUAL = "All pictures have the same scale of losses."
GRID = "grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr))"
"""Three pictures side by side where there is room, one on a phone."""
UNKNOWN = 60.0
"""Octaves at which the end of an interval says nothing about a value any more."""


def bracket_section(report: Report) -> Section:
    """For a study whose arms were bracketed before the test."""
    found = report.study.bracket
    assert found is not None
    said = [words(found, report.study.metric), *([uncertainty(report)] if uncertainty(report) else [])]
    tables = [found_table(report), allowance_table(report), *(tried_table(report, each) for each in found.arms)]
    pictures = response_charts(report)
    index = {arm.name: i for i, arm in enumerate(report.study.arms)}
    drawn = "".join(
        f'<figure class="s{index[each.arm]}"><figcaption>{escape(each.arm)} '
        f'<span class="soft">{escape(_caption(each))}</span></figcaption>{picture}</figure>'
        for each, picture in pictures
    )
    html = (
        paragraph(said[0])
        + f'<div class="small" style="{GRID}">{drawn}</div>'
        + paragraph(_reading([picture for _, picture in pictures]))
        + "".join(map(paragraph, said[1:]))
        + table_html(tables[0])
        + details("Standard errors, and every value tried", "".join(map(table_html, tables[1:])))
    )
    return Section(TITLE, (*said, _picture(report, pictures), *tables), html)


def _picture(report: Report, pictures: list[tuple[ArmBracket, str]]) -> Picture:
    """All response curves on one sheet."""
    found, index = report.study.bracket, {arm.name: i for i, arm in enumerate(report.study.arms)}
    assert found is not None
    words = f"{report.study.metric} over {found.setting}, one picture per arm: every value tried, and the curve through"
    each = [Captioned(f"{e.arm}: {_caption(e)}", drawing, f"s{index[e.arm]}") for e, drawing in pictures]
    return Picture("responses.svg", sheet(each, min(len(each), 2), words), words)


def _caption(each: ArmBracket) -> str:
    return f"not tuned, ran at {rounded(each.value)}" if each.why_not else f"ran at {rounded(each.value)}"


def _reading(pictures: list[str]) -> str:
    """How to read the pictures: what none of them has is not explained."""
    marks = ((LOST, "×"), (CLIFF, 'class="band"'), (FAR, "↑"))
    seen = [words for words, mark in marks if any(mark in picture for picture in pictures)]
    return " ".join([READING, *seen, *([EQUAL] if len(pictures) > 1 else [])])


def found_table(report: Report) -> Table:
    """What came out for each arm, and what it took."""
    found = report.study.bracket
    assert found is not None
    rows = [
        (
            each.arm,
            shown(each.declared),
            shown(each.value),
            _interval(each),
            each.kind if not each.why_not else "not tuned",
            str(len(each.points)),
            str(each.runs),
            f"{si(each.flops)} FLOPs",
            duration(report.timing.tuning.get(each.arm)),
        )
        for each in found.arms
    ]
    head = (
        "arm",
        "declared",
        "used in the test",
        "95% interval",
        "by",
        "values tried",
        "runs",
        "spent",
        "training time",
    )
    return Table(f"{found.setting} of each arm", head, rows)


def allowance_table(report: Report) -> Table:
    """The parts of each standard error."""
    digits = max(4, decimals(report.study, report.comparisons))
    rows = []
    for c in report.comparisons:
        tuning = None if c.allowance is None else math.sqrt(c.allowance)
        rows.append((c.arm, *(fixed(part, digits) for part in (c.sampling_se, tuning, c.se))))
    return Table("Standard error of each gain", ("arm", "from seeds", "from tuning", "in all"), rows)


def tried_table(report: Report, each: ArmBracket) -> Table:
    """Every value of one arm."""
    found = report.study.bracket
    assert found is not None
    rows = [
        (
            f"{point.x:+g}" if point.x else "0",
            shown(point.value),
            *(fixed(loss, 4) for loss in point.losses),
            fixed(sum(point.losses) / len(point.losses), 4),
        )
        for point in each.points
    ]
    head = ("octaves", found.setting, *(f"seed {seed}" for seed in each.seeds), "mean")
    bad = frozenset(i for i, point in enumerate(each.points) if not all(map(math.isfinite, point.losses)))
    return Table(
        f"Values tried of {each.arm}, final {found.metric(report.study.metric)}, ∞ where a run diverged",
        head,
        rows,
        bad=bad,
    )


def _interval(each: ArmBracket) -> str:
    if each.interval is None:
        return "unknown"
    low, high = each.interval
    least = f"{each.declared * 2.0**low:.3g}" if low > -UNKNOWN else "0"
    return f"{least} to {each.declared * 2.0**high:.3g}" if high < UNKNOWN else f"{least} to ∞"
