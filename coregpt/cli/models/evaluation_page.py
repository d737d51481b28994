"""The page of `coregpt eval`, drawn as reports are: its tables, and perplexity in long rows and books as pictures."""

import math
from collections.abc import Sequence

from coregpt.cli.models.evaluated import (
    Found,
    Rows,
    by_confidence,
    by_parts,
    in_books,
    in_longer,
    in_questions,
    summary,
    told,
)
from coregpt.lab.study.evaluating import places_of
from coregpt.report.drawing.books import Points, perplexity_lines
from coregpt.report.drawing.markup import Block, Picture, Section
from coregpt.report.drawing.page import Page
from coregpt.report.drawing.tables import Table
from coregpt.trained.books import ByPlace, perplexity
from coregpt.trained.breakdown import Part
from coregpt.trained.lengths import Longer

SHORT, DRAWN = 12, 8
"""Signs of a run's id, in words and at the end of its line, where a phone has room for no more."""


def page(found: Found, notes: Sequence[str], context: int) -> Page:
    """The whole page; `context` is how many tokens the model was trained on."""
    name = found.run[:SHORT]
    return Page(
        title=f"{name}: its loss in detail",
        eyebrow="CoreGPT eval",
        heading=f"Run {name}",
        lead=_sentence(summary(found)),
        series=2,
        sections=[
            *([Section("What to know", tuple(_words(found, notes)))] if notes else []),
            *(Section(f"Loss by {by}", (_table("In nats per token", rows),)) for by, rows in by_parts(found)),
            Section("How far its confidence can be believed", _confidence(found)),
            *(Section(f"Rows of {each.length:,} tokens", _longer(found, each, context)) for each in found.longer),
            *([Section("In books", _books(found, found.books, context))] if found.books is not None else []),
            *([Section("HellaSwag", _questions(found))] if found.hellaswag is not None else []),
        ],
    )


def _words(found: Found, notes: Sequence[str]) -> list[Block]:
    gap = found.difference
    words = [] if gap is None else [f"Minus run {found.against}: {told(gap, signed=True)}."]
    return [*words, *(_sentence(note.removeprefix("note: ")) for note in notes)]


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _table(title: str, rows: Rows) -> Table:
    return Table(title, rows[0], rows[1:])


def _confidence(found: Found) -> tuple[Block, ...]:
    rows, below = by_confidence(found.calibration)
    return _table("Confidence and share of right answers", rows), _sentence(below)


def _longer(found: Found, longer: Longer, context: int) -> tuple[Block, ...]:
    if longer.refused:
        return (_sentence(longer.refused),)
    words = f"Perplexity over the tokens that stand before, in rows of {longer.length:,}"
    place = (f"longer_{longer.length}", longer.length, context)
    drawn = _picture([(found.run, longer.parts)], *place, f"perplexity, {found.stream}", words)
    return *drawn, _table(words, in_longer(longer))


def _books(found: Found, books: ByPlace, context: int) -> tuple[Block, ...]:
    if books.refused:
        return (_sentence(books.refused),)
    said, rows = in_books(found, books)
    runs = [(found.run, books.parts), (found.against, found.other_in_books)]
    words = "Perplexity in books over the tokens that stand before"
    drawn = _picture(runs, "books", books.length, context, "perplexity in books", words)
    return _sentence(said), *drawn, _table(words, rows)


def _questions(found: Found) -> tuple[Block, ...]:
    assert found.hellaswag is not None
    rows, below = in_questions(found.hellaswag)
    return _table("Questions answered", rows), *map(_sentence, below)


def _picture(
    runs: Sequence[tuple[str, Sequence[Part]]], file: str, length: int, context: int, title: str, words: str
) -> list[Picture]:
    """A line for each run that has a number anywhere; nothing where none has, as of weights that have diverged."""
    lines = [(place, name[:DRAWN], _points(parts)) for place, (name, parts) in enumerate(runs)]
    lines = [each for each in lines if each[2]]
    if not lines:
        return []
    return [Picture(f"{file}.svg", perplexity_lines(lines, length, context, title, words, f"clip-{file}"), words)]


def _points(parts: Sequence[Part]) -> Points:
    """(middle of the places, perplexity) of each part."""
    known = [(places_of(part.name), part.mean.value) for part in parts if math.isfinite(part.mean.value)]
    return [((first + last + 1) / 2, perplexity(loss)) for (first, last), loss in known]
