"""The catalogue as static pages: an index with a search box, a page a technique, a table of what goes together.

They need no network and no server: links are between files of one folder.
"""

from collections.abc import Iterator, Sequence
from html import escape

from coregpt.report.catalogue.atlas_page import atlas_page
from coregpt.report.catalogue.facts import Catalogued, Effect, Technique
from coregpt.report.catalogue.index_page import index
from coregpt.report.catalogue.names import (
    ATLAS_PAGE,
    ATLAS_TEXT,
    INDEX,
    MATRIX,
    OPTIMIZERS_PAGE,
    OPTIMIZERS_TEXT,
    RULES,
    WARNING,
)
from coregpt.report.catalogue.optimizers_page import optimizers_page
from coregpt.report.catalogue.told import DIGITS, PILOT, confounds, fresh, lead, rates, verdict
from coregpt.report.drawing.markup import Picture, Section, blocks_html
from coregpt.report.drawing.numbers import p_value, si, signed, span
from coregpt.report.drawing.page import Page, html, markdown
from coregpt.report.drawing.standalone import standalone
from coregpt.report.drawing.tables import Table


def pages(found: Catalogued) -> dict[str, str]:
    """File name -> page."""
    return {
        INDEX: html(index(found)),
        MATRIX: html(matrix(found)),
        **_atlas(found),
        **{f"{each.name}.html": html(page(each, found)) for each in found.techniques},
    }


def _atlas(found: Catalogued) -> dict[str, str]:
    """The atlas, and our order of optimizers beside a published one."""
    nav = f'<nav><a href="{INDEX}">All techniques</a></nav>'
    made = _both(atlas_page(found, lead(found), nav), ATLAS_PAGE, ATLAS_TEXT)
    nav = f'<nav><a href="{INDEX}">All techniques</a> · <a href="{ATLAS_PAGE}">The atlas</a></nav>'
    beside = optimizers_page(found, lead(found), nav)
    return made | (_both(beside, OPTIMIZERS_PAGE, OPTIMIZERS_TEXT) if beside else {})


def _both(made: Page, page_file: str, text_file: str) -> dict[str, str]:
    """A page, the same as Markdown, and the pictures that this links."""
    blocks = [block for section in made.sections for block in section.content]
    drawn = {each.file: standalone(each.drawing, made.series) for each in blocks if isinstance(each, Picture)}
    return {page_file: html(made), text_file: markdown(made), **drawn}


def page(each: Technique, found: Catalogued) -> Page:
    sections = [Section("Card", html=f'<div class="card">{escape(each.card)}</div>')]
    sections.append(Section("Options", (_options(each),) if each.options else ("It has none.",)))
    sections.append(Section("Measured effects", html=_effects(each)))
    sections.append(Section("Price", tuple(_prices(each, found))))
    sections.append(Section("Beside others", html=_beside(each, found)))
    sections.append(Section("Questions it answers", html=_hooks(each)))
    return Page(
        title=f"{each.name}: CoreGPT",
        eyebrow=f"CoreGPT, {each.folder or 'technique'}",
        heading=each.name,
        lead=each.idea,
        series=4,
        sections=sections,
        top_html=f'<nav><a href="{INDEX}">All techniques</a> · <a href="{MATRIX}">Which go together</a></nav>',
        chart_rules=RULES,
    )


def _options(each: Technique) -> Table:
    rows = [(option.name, option.kind, option.default, option.words) for option in each.options]
    return Table("Options", ("option", "kind", "default", "meaning"), rows, words=True)


def _effects(each: Technique) -> str:
    if not each.effects:
        return blocks_html(("No published report has two arms that differ in this technique alone.",))
    tested = [effect for effect in each.effects if not effect.pilot]
    added, left_out = ([effect for effect in tested if effect.left_out is out] for out in (False, True))
    made: list[str | Table] = [WARNING]
    if added:
        made += ["Added: a positive gain means that the loss is lower with it.", _effect_table("Added", "gain", added)]
    if left_out:
        made += [
            "Left out of a model that has it: a positive number means that the loss is higher without it, by so much.",
            _effect_table("Left out", "missed by", left_out),
        ]
    for effect in each.effects:
        if effect.pilot:
            made.append(f"{PILOT.capitalize()}: {effect.arm} against {effect.baseline} in {effect.report}.")
    links = ", ".join(
        f'<a href="../../reports/{escape(name)}/report.html">{escape(name)}</a>'
        for name in dict.fromkeys(effect.report for effect in each.effects)
    )
    return blocks_html(made) + f"<p>Reports: {links}</p>"


def _effect_table(title: str, number: str, effects: Sequence[Effect]) -> Table:
    again = ("on fresh seeds",) if any(effect.again for effect in effects) else ()
    head = ("report", "arms", "verdict on the arm", f"{number} (95% interval)", *again, "p", "learning rates")
    rows = []
    for effect in effects:
        how = ", ".join(filter(None, (f"{effect.arm} against {effect.baseline}", confounds(effect))))
        ends = span(effect.interval, DIGITS)
        gain = "" if effect.gain is None else f"{signed(effect.gain, DIGITS)} {effect.unit} ({ends})"
        where = f"{si(effect.parameters)} parameters, {si(effect.tokens)} tokens; {effect.machine}"
        company = ", ".join(effect.company) or "nothing"
        looked = (fresh(effect.again),) if again else ()
        cells = (effect.report, how, verdict(effect), gain, *looked, p_value(effect.p), rates(effect))
        rows.append((*cells, where, company))
    return Table(title, (*head, "measured on", "in company of"), rows, words=True)


def _prices(each: Technique, found: Catalogued) -> Iterator[str | Table]:
    if not each.prices:
        yield "Not measured."
        return
    yield f"A step with it over a step without, by `python -m benchmarks.prices` on {found.priced_with}."
    rows = []
    for price in each.prices:
        memory = "" if price.memory is None else f"{price.memory:.2f}"
        rows.append((price.precision, f"{price.ratio:.2f}", f"{price.low:.2f} to {price.high:.2f}", memory))
    yield Table("Price", ("precision", "time of a step", "range", "memory"), rows)


def _beside(each: Technique, found: Catalogued) -> str:
    refused = [(other, found.clash(each.name, other)) for other in found.names() if other != each.name]
    rows = [(other, message) for other, message in refused if message is not None]
    told = [f"Needs {', '.join(each.requires)}."] if each.requires else []
    told += [f"Goes outside of {', '.join(each.after)}, where they are enabled."] if each.after else []
    told += [f"Its source prescribes {path}: {value}." for path, value in each.prescribes.items()]
    together = len(found.techniques) - 1 - len(rows)
    told.append(f"With their defaults it builds beside {together} of the {len(found.techniques) - 1} others.")
    table = [Table("Refused together", ("technique", "what is said"), rows, words=True)] if rows else []
    return blocks_html((*told, *table))


def _hooks(each: Technique) -> str:
    links = ", ".join(f'<a href="../api.md#{hook}"><code>{hook}</code></a>' for hook in each.hooks)
    return f"<p>{links}</p>"


def matrix(found: Catalogued) -> Page:
    names = found.names()
    pairs = len(names) * (len(names) - 1) // 2
    head = "<tr><td></td>" + "".join(f'<th scope="col">{escape(name)}</th>' for name in names) + "</tr>"
    rows = "".join(_matrix_row(name, names, found) for name in names)
    legend = "Pale green: the two build together with their defaults. Orange: refused, with a message that names both."
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Which go together">'
        f'<table class="matrix"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    )
    return Page(
        title="CoreGPT: which techniques go together",
        eyebrow="CoreGPT",
        heading="Which techniques go together",
        lead=f"{len(found.clashes)} of {pairs} pairs are refused.",
        series=4,
        sections=[Section("Every two", html=blocks_html((legend,)) + table)],
        top_html=f'<nav><a href="{INDEX}">All techniques</a></nav>',
        chart_rules=RULES,
    )


def _matrix_row(name: str, names: list[str], found: Catalogued) -> str:
    cells = ""
    for other in names:
        message = None if other == name else found.clash(name, other)
        kind = "own" if other == name else "go" if message is None else "no"
        title = name if other == name else f"{name} + {other}" + (f": {message}" if message else "")
        cells += f'<td class="{kind}" title="{escape(title, quote=True)}"></td>'
    return f'<tr><th scope="row"><a href="{name}.html">{escape(name)}</a></th>{cells}</tr>'
