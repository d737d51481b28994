"""Pieces of HTML the page is put together from. `content` is markup; everything else is plain text and escaped."""

from html import escape

from coregpt.report.tables import Table


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
