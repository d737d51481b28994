"""Printing: lines and tables."""

from collections.abc import Sequence


def say(text: str = "") -> None:
    """A line for the user, at once."""
    print(text, flush=True)  # noqa: T201


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with aligned columns; the first row is the header, columns of numbers are right-aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    numeric = [all(row[i][:1].isdigit() for row in rows[1:]) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in rows
    ]
