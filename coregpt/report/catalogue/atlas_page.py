"""The atlas as a page, as HTML beside the other pages of the catalogue and as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from coregpt.report.catalogue.atlas import LEVEL, findings, word
from coregpt.report.catalogue.facts import Catalogued, Family, Finding
from coregpt.report.catalogue.forest import forest
from coregpt.report.drawing.markup import Block, Items, Picture, Section
from coregpt.report.drawing.numbers import listing, p_value, plural, si, signed, span
from coregpt.report.drawing.page import Page
from coregpt.report.drawing.tables import Table

ATLAS_PAGE, ATLAS_TEXT = "atlas.html", "atlas.md"
DIGITS = 3


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
        yield "What was found", [Items(list(_told(rows)))]
        for company in _companies(rows, found.families):
            yield company.title, [company.words, _picture(company), _table(company)]
        yield "How it was measured, and what it took", [*_how(rows), _costs(found.families)]
    measured = {each.technique for each in rows}
    missing = [name for name in found.names() if name not in measured]
    yield "Not in the atlas", [f"{plural(len(missing), 'technique')}: {listing(missing)}."] if missing else ["None."]


@dataclass(frozen=True)
class Company:
    """Comparisons with one and the same model."""

    baseline: str
    left_out: bool
    techniques: tuple[str, ...]
    """The baseline's."""
    rows: list[Finding]

    @property
    def title(self) -> str:
        return f"{'Left out of' if self.left_out else 'Added to'} {self.baseline}"

    @property
    def words(self) -> str:
        it = listing([*self.techniques]) or "no technique"
        if self.left_out:
            return (
                f"{self.baseline}: {it}. A positive gain means that the loss is lower with the technique than without."
            )
        return f"{self.baseline}: {it}. A positive gain means that the loss is lower with the technique added."

    @property
    def picture(self) -> str:
        """The name of its file."""
        return f"atlas-{'without-' if self.left_out else ''}{self.baseline}.svg"


def _companies(rows: list[Finding], families: Sequence[Family]) -> list[Company]:
    """What was compared with one model stands together: gains over different models have no order."""
    techniques = {family.report: family.techniques for family in families}
    parted: dict[tuple[str, bool, tuple[str, ...]], list[Finding]] = {}
    for row in rows:
        effect = row.effect
        parted.setdefault((effect.baseline, effect.left_out, techniques.get(effect.report, ())), []).append(row)
    found = [Company(*key, each) for key, each in parted.items()]
    return sorted(found, key=lambda each: (-len(each.rows), each.title))


def _told(rows: list[Finding]) -> Iterator[str]:
    words = [word(row) for row in rows]
    lower, higher = words.count("lowers the loss"), words.count("raises the loss")
    yield (
        f"{plural(len(rows), 'comparison')} of two models that differ in one technique: {lower} of the techniques "
        f"lower the loss, {higher} raise it. Of all differences that are called found here at most {LEVEL:.0%} are "
        "expected to be false."
    )
    rest = words.count("not shown")
    yield (
        f"Of the other {rest} neither is shown, which does not mean that there is no difference; where a report calls "
        "one equivalent, it lies within that report's margin."
    )
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
    parameters, tokens = (median(getattr(row.effect, name) for row in rows) for name in ("parameters", "tokens"))
    yield (
        f"Each technique is added to a small model ({si(parameters)} parameters, {si(tokens)} tokens), or left out of "
        "it, with its defaults: where it brings another weight decay than the model's, that is part of it, and its "
        "report has the number. Both arms have a learning rate of their own, found by a bracket on seeds that the test "
        "does not have; what is not known of it is in every interval. Losses are of text that nothing was chosen on. "
        "Each report is made by the command beside it with --reports reports/atlas."
    )
    yield (
        "Tokens are held equal; parameters and FLOPs of a token are the plain model's times what the table says. FLOPs "
        "are those of the model's passes: what an optimizer multiplies beside them, which may be more, is in its "
        "report under 'products of the optimizer'. What a technique saves is not to its credit here, nor what it adds "
        "to its debit. How long a step takes is on its own page where it was measured side by side, and not here, "
        "since these runs had other company."
    )
    yield (
        "q is p corrected for the whole table by Benjamini and Hochberg's procedure; the families share the runs of "
        "their baseline, for which a simulation in the tests holds the level. The verdicts of the reports correct for "
        "the arms of one family only, and more strictly. Runs that reports share, all of the baseline's that had the "
        "same rate, were trained once and are counted in the line of each."
    )


def _table(company: Company) -> Table:
    head = ("technique", "report", "gain", "95% interval", "p", "q", "over the whole table", "params", "FLOPs")
    cells = [
        (
            _named(row),
            row.effect.report.partition("/")[2],
            signed(row.effect.gain, DIGITS),
            span(row.effect.interval, DIGITS),
            p_value(row.effect.p_alone),
            p_value(row.q),
            word(row),
            _times(row.effect.size),
            _times(row.effect.flops),
        )
        for row in company.rows
    ]
    return Table("Gain in nats per byte, positive where the loss is lower with the technique", head, cells, words=True)


def _named(row: Finding) -> str:
    gone = row.effect.instead
    return f"{row.technique} (instead of {listing([*gone])})" if gone else row.technique


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


def _picture(company: Company) -> Picture:
    told = f"{company.title}: gain of every technique, largest first, with its 95% interval"
    return Picture(company.picture, forest(company.rows), told)
