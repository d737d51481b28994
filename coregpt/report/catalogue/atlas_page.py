"""The atlas as a page, as HTML beside the other pages of the catalogue and as Markdown."""

from collections.abc import Iterator, Sequence
from statistics import median

from coregpt.report.catalogue.atlas import (
    BETTER_WITHOUT,
    FOUND,
    LEVEL,
    LOST,
    LOWERS,
    MISSED,
    OPEN,
    RAISES,
    alone,
    findings,
    word,
)
from coregpt.report.catalogue.companies import Company, companies
from coregpt.report.catalogue.costs import costs, looked_again
from coregpt.report.catalogue.facts import Catalogued, Effect, Finding
from coregpt.report.catalogue.forest import forest
from coregpt.report.catalogue.names import NAMES
from coregpt.report.catalogue.told import DIGITS, fresh, verdict, verdict_in_full
from coregpt.report.drawing.markup import Block, Items, Picture, Section
from coregpt.report.drawing.numbers import listing, p_value, plural, si, signed, span
from coregpt.report.drawing.page import Page
from coregpt.report.drawing.tables import Table


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
        chart_rules=NAMES,
    )


def _parts(found: Catalogued, rows: list[Finding]) -> Iterator[tuple[str, Sequence[Block]]]:
    if rows:
        parted = companies(rows, found)
        yield "What was found", [Items(list(_told(rows, len(parted))))]
        for company in parted:
            yield company.title, [company.words, _picture(company), _table(company)]
        again = looked_again(rows)
        yield "How it was measured, and what it took", [*_how(rows), costs(found.families), *([again] if again else [])]
    measured = {each.technique for each in rows}
    missing = [name for name in found.names() if name not in measured]
    yield "Not in the atlas", [f"{plural(len(missing), 'technique')}: {listing(missing)}."] if missing else ["None."]


def _told(rows: list[Finding], parts: int) -> Iterator[str]:
    words = [word(row) for row in rows]
    yield f"{plural(len(rows), 'comparison')} of two models that differ in one technique. {_counted(rows)}"
    yield f"Of all differences that are called found here at most {LEVEL:.0%} are expected to be false."
    if parts > 1:
        yield (
            "Comparisons with another model, on another processor or in another precision stand in tables of their "
            "own, since such gains have no order; q is over all of them."
        )
    if rest := words.count(OPEN):
        yield (
            f"Of the other {rest} neither is shown, which does not mean that there is no difference; where a report "
            "calls one equivalent, it lies within that report's margin."
        )
    if none := words.count(LOST):
        yield f"{none} had no outcome, because runs diverged or no learning rate could be found."
    if weaker := [row for row in rows if word(row) in FOUND and not alone(row)]:
        yield (
            "The table finds what reports by themselves, which correct for their arms more strictly, leave open. "
            f"{plural(len(weaker), 'comparison')} of those that it finds {'has' if len(weaker) == 1 else 'have'} "
            f"another word there: {listing([f'{row.technique} ({verdict(row.effect)})' for row in weaker])}."
        )
    yield from _again(rows)
    seen = sorted(row.effect.detectable for row in rows if row.effect.detectable is not None)
    if seen:
        yield (
            f"Corrected for the arms of its report, a comparison shows a true difference of {median(seen):.3f} nats "
            f"per byte with probability 0.9 (the median; from {seen[0]:.3f} to {seen[-1]:.3f}): most that is smaller "
            "stays unseen."
        )


def _counted(rows: list[Finding]) -> str:
    """What was added and what was left out, apart."""
    words = [word(row) for row in rows]
    out = sum(row.effect.left_out for row in rows)
    told = []
    if added := len(rows) - out:
        told.append(f"Added: {words.count(LOWERS)} of the {added} lower the loss and {words.count(RAISES)} raise it.")
    if out:
        worse, better = words.count(MISSED), words.count(BETTER_WITHOUT)
        told.append(f"Left out: {worse} of the {out} are missed, and without {better} the loss is lower.")
    return " ".join(told)


def _again(rows: list[Finding]) -> Iterator[str]:
    """What fresh seeds said of the rows that somebody looked at again."""
    looked = [(row, again) for row in rows if (again := row.effect.again) is not None]
    if not looked:
        return
    smaller = sum(abs(again.gain) < abs(row.effect.gain or 0.0) for row, again in looked)
    gone = sorted(row.technique for row, again in looked if not again.shown)
    lost = f" These seeds by themselves do not show {listing(gone)}." if gone else ""
    many = f"{smaller} of {len(looked)}" if smaller < len(looked) else f"all {len(looked)}"
    yield (
        f"{plural(len(looked), 'row')} {'was' if len(looked) == 1 else 'were'} looked at again on fresh seeds, and "
        f"{many} came out smaller, as what was picked for its size will.{lost} The other rows were not looked at "
        "again: read the largest of them as too large."
    )


def _how(rows: list[Finding]) -> Iterator[str]:
    parameters, tokens = (median(getattr(row.effect, name) for row in rows) for name in ("parameters", "tokens"))
    yield (
        f"Each technique is added to a small model ({si(parameters)} parameters, {si(tokens)} tokens), or left out of "
        "it, with its defaults: where it brings another weight decay than the model's, that is part of it, and its "
        "report has the number. Unless its row says otherwise, both arms have a learning rate of their own, found by a "
        "bracket on seeds that the test does not have; what is not known of it is in every interval. Losses are of "
        "text that nothing was chosen on. "
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
        "the arms of one family only, and more strictly. Runs that reports share, as those of a baseline that had the "
        "same rate, were trained once: each line has all of its own, and the last counts none twice."
    )


def _table(company: Company) -> Table:
    again = ("on fresh seeds",) if any(row.effect.again for row in company.rows) else ()
    head = ("technique", "report", f"{company.number_is} (95% interval)", *again, "p", "q", "over the whole table")
    cells = [
        (
            _named(row),
            row.effect.report.partition("/")[2],
            _gain(row.effect),
            *((fresh(row.effect.again),) if again else ()),
            p_value(row.effect.p_alone),
            p_value(row.q),
            word(row),
            verdict_in_full(row.effect),
            _times(row.effect.size),
            _times(row.effect.flops),
        )
        for row in company.rows
    ]
    title = f"In nats per byte, {company.title[0].lower()}{company.title[1:]}"
    return Table(title, (*head, "its report alone", "params", "FLOPs"), cells, words=True)


def _named(row: Finding) -> str:
    gone = row.effect.instead
    return f"{row.technique} (instead of {listing([*gone])})" if gone else row.technique


def _gain(effect: Effect) -> str:
    ends = f" ({span(effect.interval, DIGITS)})" if effect.interval else ""
    return f"{signed(effect.gain, DIGITS)}{ends}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _picture(company: Company) -> Picture:
    what = "by how much each is missed" if company.left_out else "gain of every technique"
    told = f"{company.title}: {what}, largest first, with its 95% interval"
    return Picture(company.picture, forest(company.rows, company.left_out), told)
