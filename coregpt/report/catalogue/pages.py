"""The catalogue as static pages: an index with a search box, a page a technique, a table of what goes together.

They need no network and no server: links are between files of one folder.
"""

from collections.abc import Iterator
from html import escape

from coregpt.report.catalogue.atlas_page import ATLAS_PAGE, ATLAS_TEXT, atlas_page
from coregpt.report.catalogue.facts import Catalogued, Effect, Technique
from coregpt.report.catalogue.optimizers_page import OPTIMIZERS_PAGE, OPTIMIZERS_TEXT, optimizers_page
from coregpt.report.drawing.markup import Picture, Section, blocks_html, table_html
from coregpt.report.drawing.numbers import p_value, si, signed, span
from coregpt.report.drawing.page import Page, html, markdown
from coregpt.report.drawing.standalone import standalone
from coregpt.report.drawing.tables import Table

INDEX, MATRIX = "index.html", "together.html"
DIGITS = 3
WARNING = (
    "Effects were measured at laptop scale. They are no promise about a model of a billion parameters, and most "
    "techniques have not been measured at all."
)
RULES = """
a{color:var(--c1)}nav{margin:0 0 1rem}
#search{font:inherit;width:100%;max-width:32rem;padding:.45rem .8rem;border:1px solid var(--rule);border-radius:999px}
#search{background:var(--paper);color:var(--ink)}
.card{white-space:pre-wrap;font-size:.92rem}
.matrix{border-collapse:collapse;width:auto}.matrix th,.matrix td{padding:0;border:0}
.matrix td{width:.62rem;height:.62rem;min-width:.62rem;outline:1px solid var(--ground)}
.matrix .go{background:var(--c3);opacity:.35}.matrix .no{background:var(--c2)}.matrix .own{background:var(--rule)}
.matrix tbody th{font-weight:400;font-size:.62rem;line-height:.62rem;text-align:right;padding-right:.35rem}
.matrix thead th{font-weight:400;font-size:.62rem;writing-mode:vertical-rl;text-align:right;padding-bottom:.3rem}
"""
SEARCH = """
const box=document.getElementById('search'),rows=[...document.querySelectorAll('tbody tr')];
const show=()=>{const words=box.value.toLowerCase().split(/\\s+/).filter(Boolean);let n=0;
rows.forEach(r=>{const hit=words.every(w=>r.textContent.toLowerCase().includes(w)||r.dataset.text.includes(w));
r.hidden=!hit;n+=hit});document.getElementById('count').textContent=n+' of '+rows.length};
box.addEventListener('input',show);show();
"""


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
    made = _both(atlas_page(found, WARNING, nav), ATLAS_PAGE, ATLAS_TEXT)
    nav = f'<nav><a href="{INDEX}">All techniques</a> · <a href="{ATLAS_PAGE}">The atlas</a></nav>'
    beside = optimizers_page(found, WARNING, nav)
    return made | (_both(beside, OPTIMIZERS_PAGE, OPTIMIZERS_TEXT) if beside else {})


def _both(made: Page, page_file: str, text_file: str) -> dict[str, str]:
    """A page, the same as Markdown, and the pictures that this links."""
    blocks = [block for section in made.sections for block in section.content]
    drawn = {each.file: standalone(each.drawing, made.series) for each in blocks if isinstance(each, Picture)}
    return {page_file: html(made), text_file: markdown(made), **drawn}


def index(found: Catalogued) -> Page:
    measured = sum(bool(each.effects) for each in found.techniques)
    count = f"{len(found.techniques)} techniques; {measured} are what two arms of a published report differ in"
    box = (
        '<p><label for="search">Search names, ideas and cards: </label><input id="search" type="search"> '
        '<span id="count" class="soft" aria-live="polite"></span></p>'
        f'<p><a href="{ATLAS_PAGE}">What each is worth, alone and small</a> · {_beside_others(found)}'
        f'<a href="{MATRIX}">Which go together</a></p>'
    )
    head = ("technique", "question", "idea", "step takes (fp32)", "measured gain")
    rows = "".join(_index_row(each) for each in found.techniques)
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Techniques"><table class="words"><thead><tr>'
        f"{cells}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return Page(
        title="CoreGPT: techniques",
        eyebrow="CoreGPT",
        heading="Techniques",
        lead=WARNING,
        series=4,
        sections=[Section(count, html=box + body)],
        chart_rules=RULES,
        script=SEARCH,
    )


def _beside_others(found: Catalogued) -> str:
    made = optimizers_page(found, WARNING)
    return f'<a href="{OPTIMIZERS_PAGE}">{made.heading}</a> · ' if made else ""


def _index_row(each: Technique) -> str:
    price = next((f"{price.ratio:.2f} times" for price in each.prices if price.precision == "fp32"), "")
    gains = "; ".join(_short(effect) for effect in each.effects)
    cells = (
        f'<a href="{each.name}.html">{escape(each.name)}</a>',
        *map(escape, (each.folder, each.idea, price, gains)),
    )
    text = escape(f"{each.card} {' '.join(each.hooks)}".lower(), quote=True)
    return f'<tr data-text="{text}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _short(effect: Effect) -> str:
    where = f"{effect.arm} against {effect.baseline} in {effect.report}"
    if effect.gain is None:
        return f"{effect.verdict}, {where}"
    return f"{signed(effect.gain, DIGITS)} ({span(effect.interval, DIGITS)}), {where}"


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
    rows = []
    for effect in each.effects:
        gain = "" if effect.gain is None else f"{signed(effect.gain, DIGITS)} {effect.unit}"
        size = f"{si(effect.parameters)} parameters, {si(effect.tokens)} tokens"
        rate = "one shared" if effect.untuned else "each its own, or declared"
        how = f"{effect.arm} against {effect.baseline}" + (" (left out)" if effect.left_out else "")
        company = ", ".join(effect.company) or "nothing"
        interval = span(effect.interval, DIGITS)
        rows.append((effect.report, how, gain, interval, p_value(effect.p), effect.verdict, rate, size, company))
    head = (
        "report",
        "arms",
        "gain",
        "95% interval",
        "p",
        "verdict on the arm",
        "learning rate",
        "size",
        "in company of",
    )
    told = "A positive gain means a lower loss with the technique. " + WARNING
    links = ", ".join(
        f'<a href="../../reports/{escape(name)}/report.html">{escape(name)}</a>'
        for name in dict.fromkeys(effect.report for effect in each.effects)
    )
    return blocks_html((told,)) + table_html(Table("Effects", head, rows, words=True)) + f"<p>Reports: {links}</p>"


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
