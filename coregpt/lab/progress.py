"""What a person sees while runs execute: a table redrawn in place on a terminal, plain lines in a log."""

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

QUIET_SECONDS = 10.0
"""Longest silence in a log while something is running."""
ACTIVE = ("running", "elsewhere")
COLUMNS = ("arm", "seed", "state", "step", "loss", "tokens/s", "left")
DROPPED = ("tokens/s", "loss", "left", "step")
"""Columns that a narrow terminal does without, the first one first."""
GAP = "  "
SHORTEST_NAME = 4


@dataclass(frozen=True)
class Line:
    """One run as the table shows it."""

    arm: str
    seed: int
    state: str
    step: int = 0
    steps: int | None = None
    """None where nobody counted them: then `share` stands in the table."""
    share: float = 0.0
    loss: float | None = None
    speed: float | None = None
    """Tokens per second."""
    left: float | None = None
    """Seconds until it is done, if it goes on as before."""

    def progress(self) -> str:
        if self.steps is not None:
            return f"{self.step}/{self.steps}" if self.step else ""
        share = f" ({self.share:.0%})" if self.share else ""
        return f"{self.step}{share}" if self.step else ""

    def cells(self) -> tuple[str, ...]:
        active = self.state in ACTIVE
        return (
            self.arm,
            str(self.seed),
            self.state,
            self.progress(),
            "" if self.loss is None else f"{self.loss:.4f}",
            "" if self.speed is None else f"{self.speed:,.0f}",
            duration(self.left) if self.left is not None and active else "",
        )


class Display:
    """Events stay, the status is replaced. Only the launcher writes; runs write to their own logs."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = sys.stdout if stream is None else stream
        self.terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.shown: list[str] = []
        self.last = time.monotonic()

    def event(self, text: str) -> None:
        """Something happened: a line that stays."""
        self._write(self._erase() + text + "\n")

    def status(self, text: str, lines: Sequence[Line] = ()) -> None:
        """How things stand; on a terminal it replaces the last one, elsewhere it appears every 10 s."""
        if self.terminal:
            width, height = shutil.get_terminal_size()
            # The last column stays free, or the terminal wraps; one row above it shows the newest event.
            block = [*table(lines, width - 1, height - 2), text[: width - 1]]
            if block != self.shown:
                self._write(self._erase() + "\n".join(block))
                self.shown = block
        elif self.due():
            self._write(" | ".join([text, *in_words(lines)]) + "\n")

    def due(self) -> bool:
        """Whether `status` would show anything now."""
        return self.terminal or time.monotonic() - self.last >= QUIET_SECONDS

    def clear(self) -> None:
        if self.shown:
            self._write(self._erase())

    def _erase(self) -> str:
        """To the start of what is shown, and everything from there on away."""
        if not self.shown:
            return ""
        width = shutil.get_terminal_size().columns  # a window that became narrower has wrapped the lines
        above = sum(max(1, -(-len(line) // width)) for line in self.shown) - 1
        self.shown = []
        return "\r" + (f"\x1b[{above}A" if above else "") + "\x1b[J"

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
        self.last = time.monotonic()


def table(lines: Sequence[Line], width: int, height: int) -> list[str]:
    """One row per run; per arm where the runs need more than `height` rows. No row is wider than `width`."""
    if not lines or height < 2:
        return []
    if len(lines) < height:
        return fitted(COLUMNS, [line.cells() for line in lines], width, DROPPED)
    arms: dict[str, list[Line]] = {}
    for line in lines:
        arms.setdefault(line.arm, []).append(line)
    rows = [_arm(name, own) for name, own in arms.items()]
    rest = max(0, len(rows) - height + 2) if len(rows) >= height else 0
    shown = fitted(("arm", "done", "runs"), rows[: len(rows) - rest], width, ())
    return [*shown, f"and {rest} more arms"[:width]] if rest else shown


def fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, dropped: Sequence[str]) -> list[str]:
    """Aligned columns under a header: some dropped, then the first one shortened, until they fit."""
    cells = [list(columns), *map(list, rows)]
    for name in ("", *dropped):
        if name:
            at = cells[0].index(name)
            cells = [row[:at] + row[at + 1 :] for row in cells]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
        if excess <= 0:
            break
    if excess > 0:
        widths[0] = max(min(SHORTEST_NAME, widths[0]), widths[0] - excess)
        cells = [[_shortened(row[0], widths[0]), *row[1:]] for row in cells]
    return [
        GAP.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()[: max(width, 0)]
        for row in cells
    ]


def _arm(name: str, lines: Sequence[Line]) -> tuple[str, ...]:
    states = Counter(line.state for line in lines)
    share = sum(line.share for line in lines) / len(lines)
    return name, f"{share:.0%}", ", ".join(f"{number} {state}" for state, number in states.items())


def _shortened(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 2] + ".."


def in_words(lines: Sequence[Line]) -> list[str]:
    """`gpt seed 1: step 120/400, loss 1.8231` for each run that is executing."""
    words = []
    for line in lines:
        if line.state == "running":
            at = "starting" if not line.step and line.loss is None else f"step {line.progress() or 0}"
            loss = "" if line.loss is None else f", loss {line.loss:.4f}"
            words.append(f"{line.arm} seed {line.seed}: {at}{loss}")
    elsewhere = sum(line.state == "elsewhere" for line in lines)
    return [*words, f"{elsewhere} in another process"] if elsewhere else words


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
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


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
