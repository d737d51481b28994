"""The first page of the catalogue: a line a technique, with a search box."""

from collections.abc import Sequence
from html import escape

from coregpt.report.catalogue.facts import Catalogued, Effect, Technique
from coregpt.report.catalogue.names import ATLAS_PAGE, MATRIX, NAMES, OPTIMIZERS_PAGE, RULES
from coregpt.report.catalogue.optimizers_page import optimizers_page
from coregpt.report.catalogue.told import USUAL, lead, told, worth_showing
from coregpt.report.drawing.markup import Section, blocks_html
from coregpt.report.drawing.page import Page

SEARCH = """
const box=document.getElementById('search'),rows=[...document.querySelectorAll('tbody tr')];
const show=()=>{const words=box.value.toLowerCase().split(/\\s+/).filter(Boolean);let n=0;
rows.forEach(r=>{const hit=words.every(w=>r.textContent.toLowerCase().includes(w)||r.dataset.text.includes(w));
r.hidden=!hit;n+=hit});document.getElementById('count').textContent=n+' of '+rows.length};
box.addEventListener('input',show);show();
"""
HOW = (
    f"What reports say: the verdict of each, then by how many {USUAL} the loss is lower with the technique added to a "
    "model, with the 95% interval. Where it was left out of a model, the number is by how much the loss rises without "
    "it. Verdicts correct for the number of arms of their report, intervals do not; inconclusive is neither an effect "
    "nor the lack of one. Unless something else is said, each arm had a learning "
    "rate of its own that was looked for before the test; models and processors differ, so that lines have no order."
)


def index(found: Catalogued) -> Page:
    measured = sum(bool(each.effects) for each in found.techniques)
    count = f"{len(found.techniques)} techniques; {measured} are what two arms of a published report differ in"
    box = (
        '<p><label for="search">Search names, ideas and cards: </label><input id="search" type="search"> '
        '<span id="count" class="soft" aria-live="polite"></span></p>'
        f'<p><a href="{ATLAS_PAGE}">What each is worth, alone and small</a> · {_beside_others(found)}'
        f'<a href="{MATRIX}">Which go together</a></p>'
    )
    head = ("technique", "question", "idea", "step takes (fp32)", "what reports say")
    rows = "".join(_row(each) for each in found.techniques)
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Techniques"><table class="words"><thead><tr>'
        f"{cells}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return Page(
        title="CoreGPT: techniques",
        eyebrow="CoreGPT",
        heading="Techniques",
        lead=lead(found),
        series=4,
        sections=[Section(count, html=box + blocks_html((HOW, *_priced(found))) + body)],
        chart_rules=NAMES + RULES,
        script=SEARCH,
    )


def _priced(found: Catalogued) -> Sequence[str]:
    return (f"Steps were timed on {found.priced_with}.",) if any(each.prices for each in found.techniques) else ()


def _beside_others(found: Catalogued) -> str:
    made = optimizers_page(found, lead(found))
    return f'<a href="{OPTIMIZERS_PAGE}">{made.heading}</a> · ' if made else ""


def _row(each: Technique) -> str:
    price = next((f"{price.ratio:.2f} times" for price in each.prices if price.precision == "fp32"), "")
    cells = (
        f'<a href="{each.name}.html">{escape(each.name)}</a>',
        *map(escape, (each.folder, each.idea, price)),
        _effects(each.effects),
    )
    text = escape(f"{each.card} {' '.join(each.hooks)}".lower(), quote=True)
    return f'<tr data-text="{text}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _effects(effects: Sequence[Effect]) -> str:
    """A line each; what was left out stands after what was added."""
    lines = (told(each) for each in sorted(worth_showing(effects), key=lambda each: each.left_out))
    return "".join(f'<div class="told"><b>{escape(head)}</b> {escape(rest)}</div>' for head, rest in lines)
