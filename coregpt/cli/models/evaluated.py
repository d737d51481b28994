"""What `coregpt eval` has found, and each part of it as a table: heads and rows of text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from coregpt.report.drawing.numbers import plural
from coregpt.trained.books import ByPlace, perplexity
from coregpt.trained.breakdown import Calibration, Part
from coregpt.trained.estimates import Mean
from coregpt.trained.hellaswag import Answers
from coregpt.trained.lengths import Longer

Rows = list[tuple[str, ...]]
"""The first is the head."""


@dataclass
class Found:
    """All that is told."""

    run: str
    stream: str
    loss: Mean
    bits_per_byte: float | None
    tables: dict[str, list[Part]]
    calibration: Calibration
    against: str = ""
    difference: Mean | None = None
    """Loss of this run minus that of the other one."""
    differences: dict[str, list[Part]] = field(default_factory=dict)
    longer: list[Longer] = field(default_factory=list)
    books: ByPlace | None = None
    other_in_books: list[Part] = field(default_factory=list)
    """Of the other run, in the same windows."""
    differences_in_books: list[Part] = field(default_factory=list)
    hellaswag: Answers | None = None


def told(mean: Mean, signed: bool = False) -> str:
    """`3.1416 (3.1 to 3.2)`."""
    sign = "+" if signed else ""
    if mean.low is None or mean.high is None:
        return f"{mean.value:{sign}.4f}"
    return f"{mean.value:{sign}.4f} ({mean.low:{sign}.4f} to {mean.high:{sign}.4f})"


def summary(found: Found) -> str:
    """The loss in a line."""
    bits = "" if found.bits_per_byte is None else f", {found.bits_per_byte:.4f} bits per byte"
    return f"run {found.run}, {found.loss.count:,} tokens of {found.stream}: loss {told(found.loss)}{bits}"


def by_parts(found: Found) -> Iterator[tuple[str, Rows]]:
    """What each table is by, and the table; with the differences from another run where there is one."""
    for name, parts in found.tables.items():
        if parts:
            yield name, _parts(name, parts, found.differences.get(name))


def _parts(name: str, parts: Sequence[Part], gaps: Sequence[Part] | None) -> Rows:
    head = (name, "tokens", "share", "loss (95% interval)")
    rows = [(each.name, f"{each.mean.count:,}", f"{each.share:.1%}", told(each.mean)) for each in parts]
    if gaps is None:
        return [head, *rows]
    more = [(told(each.mean, signed=True), f"{each.mean.value * each.share:+.4f}") for each in gaps]
    return [(*head, "difference", "of the whole"), *((*row, *gap) for row, gap in zip(rows, more, strict=True))]


def by_confidence(found: Calibration) -> tuple[Rows, str]:
    """The table, and what stands below it."""
    rows: Rows = [("confidence", "tokens", "mean confidence", "right (95% interval)")]
    rows += [(name, f"{mean.count:,}", f"{sure:.3f}", told(mean)) for name, sure, mean in found.levels]
    return rows, f"expected calibration error {found.error:.4f}"


def in_longer(found: Longer) -> Rows:
    """Of rows that the model takes."""
    rows = [(f"tokens before, rows of {found.length:,}", "loss (95% interval)", "perplexity")]
    both = zip(found.parts, found.perplexities(), strict=True)
    return [*rows, *((part.name, told(part.mean), f"{value:.2f}") for part, (_, value) in both)]


def in_books(found: Found, books: ByPlace) -> tuple[str, Rows]:
    """What was read, and the table; with the other run's where there is one."""
    windows = f"{plural(books.books, 'book')}, {plural(books.rows, 'window')} each"
    short = f"; {books.short:,} documents are too short" if books.short else ""
    head = (f"tokens before, windows of {books.length:,}", "loss (95% interval)", "perplexity")
    rows = [(part.name, told(part.mean), f"{perplexity(part.mean.value):.2f}") for part in books.parts]
    if not found.other_in_books:
        return f"{windows}{short}", [head, *rows]
    both = zip(rows, found.other_in_books, found.differences_in_books, strict=True)
    more = [(*row, f"{perplexity(part.mean.value):.2f}", told(gap.mean, signed=True)) for row, part, gap in both]
    return f"{windows}{short}", [(*head, f"that of {found.against[:12]}", "difference of losses"), *more]


def in_questions(found: Answers) -> tuple[Rows, list[str]]:
    """The table, and what stands below it."""
    rows: Rows = [("HellaSwag", "right", "of", "share", "95% interval")]
    for name, right in (("acc", found.acc), ("acc_norm", found.acc_norm)):
        low, high = found.interval(right)
        rows.append((name, f"{right:,}", f"{found.items:,}", f"{right / found.items:.4f}", f"{low:.4f} to {high:.4f}"))
    return rows, [f"{found.cut:,} contexts did not fit, and their ends were seen"] if found.cut else []
