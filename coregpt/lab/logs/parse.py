"""The text of one log file -> the runs it holds.

Metric lines inside source code are no readings. A file may hold several runs one after another: where the step
goes back to the beginning (or the planned length changes) a new run starts; where it goes back to the middle, the
run was continued from a checkpoint and what it repeats replaces what it had.
"""

import math
from dataclasses import dataclass, field

from coregpt.lab.logs.formats import csv_as_lines, of_first_rank
from coregpt.lab.logs.header import (
    SEPARATOR,
    Surroundings,
    code_digest,
    looks_like_code,
    seed_in_code,
    seed_in_name,
    settings_in_code,
)
from coregpt.lab.logs.lines import Reading, read_line, without_torn_end


@dataclass
class LoggedRun:
    """One run as a log tells it. `readings` maps a metric to its value at each step, in order of steps."""

    file: str
    number: int = 1
    """Its place in the file, from 1."""
    planned: int | None = None
    last_step: int = 0
    readings: dict[str, dict[int, float]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    resumed_at: tuple[int, ...] = ()
    unread: tuple[str, ...] = ()
    """Metric lines that could not be read, each with its number."""
    notes: tuple[str, ...] = ()
    """What was read of it in one of two ways, or left out."""
    settings: dict[str, str] = field(default_factory=dict)
    """Plain values that its source code sets, by name."""
    said: dict[str, str] = field(default_factory=dict)
    """Those that lines before its first reading tell."""
    lacks_end: bool = False
    """Whether an evaluation is missing at its end, though the log goes on."""

    @property
    def name(self) -> str:
        """The file, and the place in it for all but the first run."""
        return self.file if self.number == 1 else f"{self.file}#{self.number}"

    def curve(self, metric: str) -> dict[int, float]:
        return self.readings.get(metric, {})

    def ended_early(self) -> bool:
        """Whether the log stops before the length it was planned for (False where that is unknown)."""
        return self.planned is not None and self.last_step < self.planned

    def diverged_at(self, metric: str) -> int | None:
        """The first step at which the metric is no finite number."""
        return next((step for step, value in self.curve(metric).items() if not math.isfinite(value)), None)

    def add(self, reading: Reading, line: int) -> None:
        for name, value in reading.values.items():
            first = self.readings.setdefault(name, {}).setdefault(reading.step, value)
            if repr(first) != repr(value):
                said = f"{name} of step {reading.step:,} is told twice, as {first:g} and as {value:g}"
                self.notes += (f"{self.file}:{line}: {said}; the first counts",)
        if reading.seconds is not None:
            self.seconds[reading.step] = reading.seconds
        self.planned = reading.planned or self.planned
        self.last_step = reading.step

    def rewind(self, step: int) -> None:
        """Forget everything from this step on: it is about to be told again."""
        self.resumed_at += (step,)
        for column in (*self.readings.values(), self.seconds):
            for later in [s for s in column if s >= step]:
                del column[later]


def parse(text: str, file: str) -> list[LoggedRun]:
    """All runs in a log, in order; a run without any reading is not one, but one with only unreadable lines is.

    Raises ConfigError for a CSV file without a column of steps.
    """
    text = text.replace("\r\n", "\n")
    lines = csv_as_lines(text, file) if file.lower().endswith(".csv") else text.split("\n")
    whole = without_torn_end(lines)
    runs = _Reader(file).read(list(of_first_rank(whole)))
    if len(whole) < len(lines) and runs:
        runs[-1].notes += (f"{file}:{len(lines)}: the log ends inside of a number; its last line is not read",)
    return runs


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.runs: list[LoggedRun] = []
        self.code: list[str] = []
        self.around = Surroundings()
        self.in_code = False
        self.read_since_code = False
        self.code_seeds: dict[int, int | None] = {}
        self.number = 0

    def read(self, lines: list[str]) -> list[LoggedRun]:
        first_code = next((i for i, line in enumerate(lines) if looks_like_code(line)), len(lines))
        first_end = next((i for i, line in enumerate(lines) if SEPARATOR.fullmatch(line)), len(lines))
        # A file that opens with source is source from its first line: its opening comment may quote old results.
        self.in_code = first_code < first_end < len(lines)
        if first_end == len(lines) and first_code < len(lines):
            rest = self._drop_unended_code(lines)
            self.number, lines = len(lines) - len(rest), rest
        for line in lines:
            self.number += 1
            self._line(line)
        return self._finish()

    def _drop_unended_code(self, lines: list[str]) -> list[str]:
        """Source that no line of equals signs ends: it reaches to its last line that looks like source."""
        last = max(i for i, line in enumerate(lines) if looks_like_code(line))
        self.code = lines[: last + 1]
        return lines[last + 1 :]

    def _line(self, line: str) -> None:
        if SEPARATOR.fullmatch(line):
            self.in_code = False
            return
        if not self.in_code and looks_like_code(line):
            self.in_code = True
            if self.read_since_code:  # the source of the next run, not the rest of this one's
                self.code, self.around, self.read_since_code = [], Surroundings(), False
        if self.in_code:
            self.code.append(line)
            return
        try:
            reading = read_line(line)
        except ValueError as error:
            newest = self.runs[-1] if self.runs else self._new_run()
            newest.unread += (f"{self.number}: {error}",)
            return
        if reading is None:
            self.around.read(line)
            return
        run = self.runs[-1] if self.runs else None
        if run is None or _starts_again(run, reading):
            run = self._new_run()
        elif reading.step < run.last_step:
            run.rewind(reading.step)
        run.add(reading, self.number)
        self.read_since_code = True
        self._tell(run)

    def _new_run(self) -> LoggedRun:
        run = LoggedRun(self.file, number=len(self.runs) + 1, said=dict(self.around.settings))
        self.runs.append(run)
        return run

    def _tell(self, run: LoggedRun) -> None:
        run.facts |= self.around.known()
        if self.around.seed is not None:
            run.seed = self.around.seed
        if self.code and "code" not in run.facts:
            source = "\n".join(self.code)
            run.facts["code"] = code_digest(source)
            run.settings = settings_in_code(source)
            self.code_seeds[run.number] = seed_in_code(source)

    def _finish(self) -> list[LoggedRun]:
        """Seeds: a log line says what was done, a file name what was meant, the code only a default."""
        alone = len(self.runs) == 1
        for run in self.runs:
            if run.seed is None and alone:  # said after the last reading, or in the name of a file with one run
                run.seed = seed_in_name(self.file) if self.around.seed is None else self.around.seed
            if run.seed is None:
                run.seed = self.code_seeds.get(run.number)
        return self.runs


def _starts_again(run: LoggedRun, reading: Reading) -> bool:
    if reading.planned is not None and run.planned is not None and reading.planned != run.planned:
        return True
    if reading.step > run.last_step:
        return False
    if reading.step == run.last_step:  # the same step again is told twice, unless the beginning has other values
        again = reading.values.keys() & run.readings.keys()
        return reading.step == 0 and any(run.readings[name].get(0) != reading.values[name] for name in again)
    steps = sorted({step for column in run.readings.values() for step in column})
    beginning = next((step for step in steps if step > 0), 0)
    return reading.step <= beginning
