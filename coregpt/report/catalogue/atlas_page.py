"""The atlas as a page, as HTML beside the other pages of the catalogue and as Markdown."""

from collections.abc import Iterator, Sequence
from statistics import median

from coregpt.report.catalogue.atlas import LEVEL, findings, word
from coregpt.report.catalogue.facts import Catalogued, Family, Finding
from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.markup import Block, Items, Picture, Section
from coregpt.report.drawing.numbers import listing, p_value, plural, si, signed, span
from coregpt.report.drawing.page import Page
from coregpt.report.drawing.svg import Scale, element, line, padded, text, tick_labels
from coregpt.report.drawing.tables import Table

ATLAS_PAGE, ATLAS_TEXT, ATLAS_PICTURE = "atlas.html", "atlas.md", "atlas.svg"
DIGITS = 3
SERIES = {"lowers the loss": 3, "raises the loss": 2, "not shown": 0}
"""The colour of each word."""
_WIDTH, _LEFT, _ROW = 760.0, 190.0, 22.0


def atlas_page(found: Catalogued, warning: str, top_html: str = "") -> Page:
    """What each technique was worth, what it took to know that, and what was not measured."""
    rows = findings(found)
    return Page(
        title="CoreGPT: the atlas",
        eyebrow="CoreGPT",
        heading="What each technique is worth, alone and small",
        lead=warning,
        series=4,
        sections=[Section(title, tuple(content)) for title, content in _parts(found, rows)],
        top_html=top_html,
    )


def _parts(found: Catalogued, rows: list[Finding]) -> Iterator[tuple[str, Sequence[Block]]]:
    if rows:
        yield "What was found", [Items(list(_told(rows))), _picture(rows)]
        yield "Every comparison", [*_table(rows)]
        yield "How it was measured, and what it took", [*_how(rows), _costs(found.families)]
    measured = {each.technique for each in rows}
    missing = [name for name in found.names() if name not in measured]
    yield "Not in the atlas", [f"{plural(len(missing), 'technique')}: {listing(missing)}."] if missing else ["None."]


def _told(rows: list[Finding]) -> Iterator[str]:
    words = [word(row) for row in rows]
    lower, higher = words.count("lowers the loss"), words.count("raises the loss")
    yield (
        f"{plural(len(rows), 'comparison')}. Of all differences that are called found here at most {LEVEL:.0%} are "
        f"expected to be false: {lower} of the techniques lower the loss, {higher} raise it."
    )
    rest = words.count("not shown")
    yield f"Of the other {rest} nothing can be said: that a gain was not shown does not mean that there is none."
    if none := words.count("no outcome"):
        yield f"{none} had no outcome, because runs diverged or no learning rate could be found."
    seen = sorted(row.effect.detectable for row in rows if row.effect.detectable is not None)
    if seen:
        yield (
            f"Corrected for the arms of its report, a comparison shows a true difference of {median(seen):.3f} nats "
            f"per byte with probability 0.9 (the median; from {seen[0]:.3f} to {seen[-1]:.3f}): most that is smaller "
            "stays unseen."
        )


def _how(rows: list[Finding]) -> Iterator[str]:
    parameters, tokens = (
        median(getattr(row.effect, name) for row in rows if not row.effect.left_out)
        for name in ("parameters", "tokens")
    )
    yield (
        f"Each technique with its defaults is added to one plain model ({si(parameters)} parameters, {si(tokens)} "
        "tokens) and nothing else is changed. Both arms have a learning rate of their own, found by a bracket on seeds "
        "that the test does not have; what is not known of it is in every interval. Losses are of text that nothing "
        "was chosen on. Each report is made by the command beside it with --reports reports/atlas."
    )
    yield (
        "Tokens are held equal; parameters and FLOPs of a token are the plain model's times what the table says. "
        "What a technique saves is not to its credit here, nor what it adds to its debit. How long a step takes is "
        "on its own page where it was measured side by side, and not here, since these runs had other company."
    )
    yield (
        "q is p corrected for the whole table by Benjamini and Hochberg's procedure; the families share the runs of "
        "their baseline, for which a simulation in the tests holds the level. The verdicts of the reports correct for "
        "the arms of one family only, and more strictly. Runs that reports share, all of the baseline's that had the "
        "same rate, were trained once and are counted in the line of each."
    )


def _table(rows: list[Finding]) -> Iterator[Table]:
    head = ("technique", "report", "gain", "95% interval", "p", "q", "over the whole table", "params", "FLOPs")
    cells = [
        (
            row.technique,
            row.effect.report.partition("/")[2],
            signed(row.effect.gain, DIGITS),
            span(row.effect.interval, DIGITS),
            p_value(row.effect.p_alone),
            p_value(row.q),
            word(row),
            _times(row.effect.size),
            _times(row.effect.flops),
        )
        for row in rows
    ]
    yield Table("Gain in nats per byte, positive where the loss is lower with the technique", head, cells, words=True)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _costs(families: Sequence[Family]) -> Table:
    head = ("report", "made by", "runs", "hours of a core", "seeds of the test", "with")
    rows = [
        (
            each.report,
            each.command,
            str(each.runs),
            f"{each.hours:.2f}",
            str(each.seeds),
            ", ".join(filter(None, (each.processor, each.precision))),
        )
        for each in families
    ]
    total = ("all", "", str(sum(each.runs for each in families)), f"{sum(each.hours for each in families):.2f}", "", "")
    return Table("Cost", head, [*rows, total], words=True)


def _picture(rows: list[Finding]) -> Picture:
    return Picture(ATLAS_PICTURE, forest(rows), "Gain of every technique, largest first, with its 95% interval")


def forest(rows: list[Finding]) -> str:
    """A line a technique: its gain and 95% interval, coloured by what the whole table allows to say."""
    shown = [row for row in rows if row.effect.gain is not None]
    ends = [0.0, *(end for row in shown for end in (row.effect.gain or 0.0, *(row.effect.interval or ())))]
    x = Scale(*padded(min(ends), max(ends), 0.03), _LEFT, _WIDTH - 12)
    bottom = 10 + _ROW * len(shown)
    parts = [line(x(0), 4, x(0), bottom, "zero")]
    for place, row in enumerate(shown):
        parts.append(_forest_row(row, 10 + _ROW * (place + 0.5), x))
    parts.append(line(x.start, bottom, x.stop, bottom, "axis"))
    ticks = x.ticks(7)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [
            line(x(tick), bottom, x(tick), bottom + 5, "axis"),
            text(x(tick), bottom + 20, label, "tick", "middle"),
        ]
    parts.append(text(x.start, bottom + 42, "← loss is higher with it", "label"))
    parts.append(text(x.stop, bottom + 42, "lower, nats per byte →", "label", "end"))
    label = "Gain of every technique of the atlas over the plain model, with 95% intervals"
    return figure("".join(parts), _WIDTH, bottom + 52, label)


def _forest_row(row: Finding, y: float, x: Scale) -> str:
    effect = row.effect
    parts = [text(_LEFT - 12, y + 4, row.technique, "tick", "end")]
    if effect.interval:
        parts.append(line(x(effect.interval[0]), y, x(effect.interval[1]), y, "bar"))
    hollow = "" if word(row) != "not shown" else " hollow"
    parts.append(element("circle", cx=x(effect.gain or 0.0), cy=y, r=4, class_=f"dot{hollow}"))
    return element("g", "".join(parts), class_=f"s{SERIES[word(row)]}")
