"""Pieces the pages are put together from, each drawn by one function per medium.

`content` that is a string is markup where it says so; everything else is plain text and escaped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from coregpt.report.drawing.tables import Table


@dataclass(frozen=True)
class Items:
    """A list of plain sentences."""

    words: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Text to copy, as it is."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Picture:
    """A drawing: in the HTML page itself, and a file beside the Markdown page. `words` say what it shows."""

    file: str
    drawing: str
    words: str


@dataclass(frozen=True)
class Labelled:
    """Plain words and, after them, digests or numbers in full. These hold no signs of any markup."""

    words: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Folded:
    """What few readers ask for: folded away on the HTML page, below a heading of its own in Markdown."""

    title: str
    content: tuple["Block", ...]


Block = str | Table | Items | Code | Labelled | Folded | Picture
"""A string is a paragraph of plain text."""


@dataclass(frozen=True)
class Section:
    """A titled part of both pages. Without content it is on the HTML page only."""

    title: str
    content: tuple[Block, ...] = ()
    html: str = ""
    """Markup that stands in place of the content on the HTML page, where that shows more, such as a chart."""
    markdown: str = ""
    """Markdown that stands there in place of title and content."""
    continues: bool = False
    """Follows what is before it in the same line of the HTML file, as it did on pages that are published."""

    def as_html(self) -> str:
        """The block of the HTML page."""
        return section(self.title, self.html or blocks_html(self.content))

    def as_markdown(self) -> list[str]:
        """The blocks of the Markdown page."""
        if self.markdown:
            return [self.markdown]
        return [f"## {self.title}", *blocks_markdown(self.content)] if self.content else []


def blocks_html(content: Sequence[Block]) -> str:
    """One after the other."""
    return "".join(map(_block_html, content))


def blocks_markdown(content: Sequence[Block]) -> list[str]:
    """To be set apart by blank lines."""
    return [text for block in content for text in _block_markdown(block)]


def _block_html(block: Block) -> str:
    match block:
        case Table():
            return table_html(block)
        case Items():
            return f'<ul class="notes">{"".join(f"<li>{escape(words)}</li>" for words in block.words)}</ul>'
        case Code():
            return f"<pre><code>{escape(block.text)}</code></pre>"
        case Labelled():
            codes = ", ".join(f"<code>{escape(code)}</code>" for code in block.codes)
            return f"<p>{escape(block.words)} {codes}</p>"
        case Picture():
            return wide(block.drawing)
        case Folded():
            return details(block.title, blocks_html(block.content))
        case str():
            return paragraph(block)


def _block_markdown(block: Block) -> list[str]:
    match block:
        case Table():
            return [table_markdown(block)]
        case Items():
            return ["\n".join(f"- {line_markdown(words)}" for words in block.words)]
        case Code():
            return [fenced(block.text, block.language)]
        case Labelled():
            return [f"{line_markdown(block.words)} " + ", ".join(f"`{code}`" for code in block.codes)]
        case Picture():
            return [f"![{line_markdown(block.words)}]({block.file})"]
        case Folded():
            return [f"### {block.title}", *blocks_markdown(block.content)]
        case str():
            return [line_markdown(block)]


def section(title: str, content: str) -> str:
    """A titled block of the HTML page; `content` is markup."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def details(title: str, content: str) -> str:
    """A block that is folded away until asked for; `content` is markup."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def wide(picture: str) -> str:
    """A chart across the page; `picture` is markup."""
    return f'<div class="wide">{picture}</div>'


def paragraph(words: str) -> str:
    """Explaining text."""
    return f'<p class="soft">{escape(words, quote=False)}</p>'


def table_html(table: Table) -> str:
    """A table in a box that scrolls on narrow screens; tables of words are captioned by their section."""
    short = _short_columns(table) if table.words else frozenset()
    head = "".join(f'<th scope="col"{_kind(i in short)}>{escape(cell)}</th>' for i, cell in enumerate(table.head))
    rows = "".join(_row(row, index in table.bad, short) for index, row in enumerate(table.rows))
    kind = ' class="words"' if table.words else ""
    title = escape(table.title)
    caption = "" if table.words else f"<caption>{title}</caption>"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table{kind}>{caption}'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


_SHORT = re.compile(r"[^\W_]{0,16}|(?:to|[\d\s.,:()/%<+*×∞–−-])+")
"""One word as short as a digest, or numbers with what stands between them."""


def _short_columns(table: Table) -> frozenset[int]:
    """Columns of a table of words that hold numbers or single words: they need no room, and a break spoils them."""
    columns = range(1, len(table.head))
    return frozenset(i for i in columns if all(_SHORT.fullmatch(row[i]) for row in table.rows))


def _kind(short: bool) -> str:
    return ' class="short"' if short else ""


def _row(cells: tuple[str, ...], bad: bool, short: frozenset[int]) -> str:
    first = f'<th scope="row">{escape(cells[0])}</th>'
    rest = "".join(f"<td{_kind(i in short)}>{escape(cell)}</td>" for i, cell in enumerate(cells[1:], 1))
    return ('<tr class="bad">' if bad else "<tr>") + first + rest + "</tr>"


def table_markdown(table: Table) -> str:
    """A Markdown table; numbers stand right, and a table of numbers has its title above it."""
    align = "---" if table.words else "---:"
    head = "| " + " | ".join(map(_cell, table.head)) + " |\n| --- |" + f" {align} |" * (len(table.head) - 1)
    caption = [] if table.words else [f"{line_markdown(table.title)}:", ""]
    return "\n".join([*caption, head, *("| " + " | ".join(map(_cell, row)) + " |" for row in table.rows)])


def line_markdown(words: str) -> str:
    """Plain text as one line of Markdown that shows it as it is."""
    return re.sub(r"([\\`*])", r"\\\1", " ".join(words.split())).replace("<", "&lt;")


def _cell(words: str) -> str:
    return line_markdown(words).replace("|", "\\|")


def fenced(text: str, language: str = "") -> str:
    """A block of code; its fence is longer than any run of ticks inside."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
