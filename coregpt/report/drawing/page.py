"""The one shell of all pages: a self-contained HTML page, and the same as Markdown.

The HTML page needs no network and is readable on a phone, on paper and by screen readers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from coregpt.report.drawing.markup import Section, line_markdown
from coregpt.report.drawing.theme import CHART_CSS, PAGE_CSS, colour_tokens, series_rules


@dataclass(frozen=True)
class Page:
    """What a page shows, top to bottom. Both media have the sections in this order."""

    title: str
    """Of the browser's tab."""
    eyebrow: str
    """Small words above the heading of the HTML page."""
    heading: str
    lead: str
    """The answer in a sentence; may be empty."""
    sections: Sequence[Section]
    series: int
    """How many colours charts need."""
    top_html: str = ""
    """Markup between the lead and the first section."""
    top_markdown: str = ""
    chart_rules: str = ""
    """Style rules beyond those of all pages, for charts and, below, for what is switched."""
    switch_rules: str = ""
    script: str = ""


def html(page: Page) -> str:
    """The whole page as text."""
    style = colour_tokens() + series_rules(page.series) + page.chart_rules + CHART_CSS + PAGE_CSS + page.switch_rules
    lead = f'<p class="lead">{escape(page.lead)}</p>' if page.lead else ""
    main = page.top_html
    for part in page.sections:
        main += ("\n" if main and not part.continues else "") + part.as_html()
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(page.title)}</title><style>{style}</style></head>\n<body>\n"
        f'<header><p class="eyebrow">{escape(page.eyebrow)}</p><h1>{escape(page.heading)}</h1>{lead}</header>\n'
        f"<main>\n{main}</main>" + (f"\n<script>{page.script}</script>" if page.script else "") + "</body></html>\n"
    )


def markdown(page: Page) -> str:
    """The same words and numbers, with tables that can be pasted into a pull request."""
    parts = [f"# {line_markdown(page.heading)}"]
    parts += [f"**{line_markdown(page.lead)}**"] if page.lead else []
    parts += [page.top_markdown] if page.top_markdown else []
    parts += [text for part in page.sections for text in part.as_markdown()]
    return "\n\n".join(parts) + "\n"
