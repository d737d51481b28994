"""What a program prints, however much of it: lines for the reader, and a log with a beginning, an end and a size."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 1 << 16
LONGEST = 4096
"""Characters of a line that count; binary output has lines without an end."""
HEAD_BYTES, TAIL_BYTES = 1 << 20, 1 << 18
"""Of the log: its first MiB as it comes, and at the end the last quarter of one."""
KEPT_LINES = 200
"""For messages."""


@dataclass
class Output:
    """Takes bytes as they come; `text` ones go to the log, whole lines to whoever asks."""

    log: Path
    written: int = 0
    total: int = 0
    rest: bytes = b""
    cut: bool = False
    """Whether the rest of a line that was too long is being left out."""
    tail: deque[bytes] = field(default_factory=deque)
    held: int = 0
    newest: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    def take(self, data: bytes) -> Iterator[str]:
        """The lines that are complete now."""
        self.total += len(data)
        self._keep(data)
        *lines, self.rest = (self.rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if self.cut:
                self.cut = False
                continue
            yield from self._line(line)
        if len(self.rest) > LONGEST:
            if not self.cut:
                yield from self._line(self.rest[:LONGEST])
            self.rest, self.cut = b"", True

    def close(self) -> Iterator[str]:
        """The last line, if it has no end; then the log gets its end."""
        if self.rest and not self.cut:
            yield from self._line(self.rest)
        self.rest = b""
        if self.tail:
            left = self.total - self.written - self.held
            gap = f"\n[{left:,} bytes left out]\n".encode() if left else b""
            self._write(gap + b"".join(self.tail))
            self.tail.clear()

    def _line(self, line: bytes) -> Iterator[str]:
        text = line.decode(errors="replace").rstrip()
        if text:
            self.newest.append(text)
            yield text

    def _keep(self, data: bytes) -> None:
        room = HEAD_BYTES - self.written
        if room > 0:
            self._write(data[:room])
            self.written += len(data[:room])
            data = data[room:]
        if data:
            self.tail.append(data)
            self.held += len(data)
            while self.held - len(self.tail[0]) >= TAIL_BYTES:
                self.held -= len(self.tail.popleft())

    def _write(self, data: bytes) -> None:
        with self.log.open("ab") as file:
            file.write(data)


@dataclass
class Growing:
    """A file that a program writes, read as it grows."""

    path: Path
    at: int = 0
    rest: bytes = b""

    def lines(self, last: bool = False) -> Iterator[str]:
        """Those that are complete since the last call; with `last` also one without an end."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.at:  # begun anew
                    self.at, self.rest = 0, b""
                file.seek(self.at)
                while data := file.read(CHUNK):
                    self.at += len(data)
                    *lines, self.rest = (self.rest + data).split(b"\n")
                    self.rest = self.rest[: 1 << 20]
                    yield from (line.decode(errors="replace").rstrip() for line in lines)
        except (FileNotFoundError, IsADirectoryError):
            return
        if last and self.rest:
            yield self.rest.decode(errors="replace").rstrip()
            self.rest = b""
