"""Pieces the pages are put together from. `content` is markup; everything else is plain text and escaped."""

from dataclasses import dataclass
from html import escape

from coregpt.report.drawing.tables import Table


@dataclass(frozen=True)
class Section:
    """A titled part of both pages: paragraphs of plain Markdown and tables, in order.

    `html` stands in their place on the HTML page where that shows more, such as a chart; it is markup.
    """

    title: str
    content: tuple[str | Table, ...]
    html: str = ""

    def as_html(self) -> str:
        """The block of the HTML page."""
        parts = (table_html(part) if isinstance(part, Table) else paragraph(part) for part in self.content)
        return section(self.title, self.html or "".join(parts))

    def as_markdown(self) -> list[str]:
        """The blocks of the Markdown page."""
        parts = (table_markdown(part) if isinstance(part, Table) else part for part in self.content)
        return [f"## {self.title}", *parts]


def section(title: str, content: str) -> str:
    """A titled block of the page."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def details(title: str, content: str) -> str:
    """A block that is folded away until asked for."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def paragraph(words: str) -> str:
    """Explaining text."""
    return f'<p class="soft">{escape(words, quote=False)}</p>'


def table_html(table: Table) -> str:
    """A table in a box that scrolls on narrow screens; tables of words are captioned by their section."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "".join(_row(row, index in table.bad) for index, row in enumerate(table.rows))
    kind = ' class="words"' if table.words else ""
    title = escape(table.title)
    caption = "" if table.words else f"<caption>{title}</caption>"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table{kind}>{caption}'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(cells: tuple[str, ...], bad: bool) -> str:
    first = f'<th scope="row">{escape(cells[0])}</th>'
    rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
    return ('<tr class="bad">' if bad else "<tr>") + first + rest + "</tr>"


def table_markdown(table: Table) -> str:
    """A Markdown table; numbers stand right, and a table of numbers has its title above it."""
    align = "---" if table.words else "---:"
    head = "| " + " | ".join(map(_cell, table.head)) + " |\n| --- |" + f" {align} |" * (len(table.head) - 1)
    caption = [] if table.words else [f"{line_markdown(table.title)}:", ""]
    return "\n".join([*caption, head, *("| " + " | ".join(map(_cell, row)) + " |" for row in table.rows)])


def line_markdown(words: str) -> str:
    """Plain text as one line that starts no HTML."""
    return " ".join(words.split()).replace("<", "&lt;")


def _cell(words: str) -> str:
    return line_markdown(words).replace("|", "\\|").replace("*", "\\*")
