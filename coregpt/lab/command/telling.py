"""What one execution of a program has told so far: its values, which of them decides, and the rows that are kept."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from coregpt.engine.training.outcome import HELD_OUT, SELECT
from coregpt.lab.command.reading import FACTS, Found
from coregpt.lab.records.store import MetricsLog

MOST_ROWS = 4000
"""Of the metrics that are kept one by one; of more, every second, fourth and so on, and the last."""
MOST_NAMES = 64


@dataclass
class Telling:
    """Values of a metric as they come."""

    metric: str
    lowest_counts: bool
    log: MetricsLog | None
    """None for the second of two equal executions, whose rows nobody keeps."""
    clock: Callable[[], float]
    """Seconds since the program began."""
    series: list[tuple[int, str]] = field(default_factory=list)
    """The metric as it was told, by step: what two executions are held against each other by."""
    names: set[str] = field(default_factory=set)
    facts: dict[str, float] = field(default_factory=dict)
    """What it said of itself, such as its tokens."""
    steps: int = 0
    values: int = 0
    """How many it has told."""
    last: float = math.nan
    lowest: float = math.nan
    kept_last: tuple[int, float] | None = None
    """Step and value of the last row on record that has one."""
    every: int = 1
    kept: int = 0
    rows: int = 0
    waiting: dict[str, float] | None = None

    @property
    def final(self) -> float:
        """The value that decides."""
        return self.lowest if self.lowest_counts else self.last

    @property
    def tokens(self) -> float:
        return self.facts.get("tokens", 0)

    def add(self, found: Found) -> None:
        """What a line said."""
        values = {name: value for name, value in found.values.items() if name not in FACTS}
        self.facts |= {name: value for name, value in found.values.items() if name in FACTS}
        if not values:
            return
        step = self.steps + (self.metric in values) if found.step is None else found.step
        self.steps = max(self.steps, step)
        self.names |= values.keys() if len(self.names) < MOST_NAMES else set()
        row = dict(values)
        if self.metric in values:
            value = values[self.metric]
            if self.values % self.every == 0:
                self.series.append((step, repr(value)))
            self.values += 1
            self.last = value
            self.lowest = value if math.isnan(self.lowest) else min(self.lowest, value)
            row |= {HELD_OUT: value, SELECT: value}
        self.rows += 1
        self.waiting = {**row, "step": step, "tokens": self.tokens, "seconds": round(self.clock(), 3)}
        if self.rows % self.every == 0:
            self._write(self.waiting)
            self.kept += 1
            if self.kept % MOST_ROWS == 0:
                self.every *= 2

    def beat(self, seconds: float) -> None:
        """A sign of life, and of the time that is spent."""
        if self.log is not None:
            self.log.record({"step": self.steps, "tokens": self.tokens, "seconds": round(seconds, 3)})

    def close(self, seconds: float) -> None:
        """The last value is the last row, and it is the one that decides."""
        if self.waiting is not None:
            self._write(self.waiting)
        if self.values and self.kept_last != (self.steps, self.final):
            at = {"step": self.steps, "tokens": self.tokens, "seconds": round(seconds, 3)}
            self._write({**at, HELD_OUT: self.final, SELECT: self.final})

    def _write(self, row: Mapping[str, float]) -> None:
        self.waiting = None
        if HELD_OUT in row:
            self.kept_last = int(row["step"]), row[HELD_OUT]
        if self.log is not None:
            self.log.record(dict(row))
