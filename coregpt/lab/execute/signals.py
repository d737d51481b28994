"""Requests to stop: SIGINT and SIGTERM, counted while runs execute."""

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

POLL_SECONDS = 0.05
"""Between two looks at whether a process has ended or somebody asked to stop."""


@dataclass
class Signals:
    """Requests to stop, counted: the second one does not wait for checkpoints."""

    count: int = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


@contextlib.contextmanager
def caught_signals() -> Iterator[Signals]:
    """SIGINT and SIGTERM are counted instead of ending this process."""
    signals = Signals()
    before = {number: signal.signal(number, signals) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
