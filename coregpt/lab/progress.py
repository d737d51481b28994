"""What a person sees while runs execute: one rewritten line on a terminal, plain lines in a log."""

import shutil
import sys
import time
from typing import TextIO

QUIET_SECONDS = 10.0
"""Longest silence in a log while something is running."""


class Display:
    """Events stay, the status is replaced. Only the launcher writes; runs write to their own logs."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = sys.stdout if stream is None else stream
        self.terminal = self.stream.isatty()
        self.shown = ""
        self.last = time.monotonic()

    def event(self, text: str) -> None:
        """Something happened: a line that stays."""
        self.clear()
        self._write(text + "\n")

    def status(self, text: str) -> None:
        """How things stand; on a terminal it replaces the last one, elsewhere it appears every 10 s."""
        if self.terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            if text != self.shown:
                self.clear()
                self._write(text)
                self.shown = text
        elif time.monotonic() - self.last >= QUIET_SECONDS:
            self._write(text + "\n")

    def clear(self) -> None:
        if self.shown:
            self._write("\r\x1b[2K")
            self.shown = ""

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
        self.last = time.monotonic()


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
