"""Executing a command once: clone, edits, inputs, the program, its numbers, and how it ended.

Resuming is starting again: a program's own checkpoints are its own affair, and {out} is empty when it begins.
"""

import contextlib
import math
import os
import select
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError, RunError
from coregpt.engine.data import cache_dir
from coregpt.lab.atomic import unwritable
from coregpt.lab.command import inputs
from coregpt.lab.command.config import CommandRun, placeholders
from coregpt.lab.command.edits import edit
from coregpt.lab.command.file import filled
from coregpt.lab.command.git import clone
from coregpt.lab.command.interpreter import environment
from coregpt.lab.command.output import CHUNK, Growing, Output
from coregpt.lab.command.processes import Program, end_left, resident, start
from coregpt.lab.command.reading import Reader, nearest_line, reader
from coregpt.lab.command.telling import Telling
from coregpt.lab.progress import duration
from coregpt.lab.records.store import MetricsLog, RunFolder

OUT, METRICS = "out", "reported.jsonl"
"""In a run's folder: what {out} is, and what $COREGPT_METRICS names."""
LOOK_SECONDS, BEAT_SECONDS = 0.2, 20.0
"""Between two looks at files that grow, and between two signs of life in the metrics."""
WEIGH_SECONDS = 1.0
"""Between two looks at the memory of all its processes."""
LEAST_FREE = 32 << 20
"""Bytes of a disk below which a program is ended before it takes the study along."""
SHOWN = 3
"""Last lines of a log in a message."""


def execute(run: CommandRun, folder: Path, stop: Callable[[], bool]) -> dict[str, Any]:
    """One run in its folder; how it ended. Raises CoreGPTError for what a user can mend."""
    if _is_no_first_rank():
        return {"status": "another rank's"}
    records = RunFolder(folder)
    end_left(folder)
    records.clear_error()
    run.refuse_moved()
    records.write_environment(_told(run))
    one = _Once(run, records, folder / OUT, stop, MetricsLog(records))
    ended = one.execute()
    if ended is None:
        return {"status": "stopped"}
    if run.aside.repeat:
        again = _Once(run, records, folder / f"{OUT}-again", stop, None)
        if (second := again.execute()) is None:
            return {"status": "stopped"}
        same = one.told.series == again.told.series
        ended |= {"repetition": {"same": same, "value": second["value"], "status": second["status"]}}
        shutil.rmtree(again.out, ignore_errors=True)
    records.write_result(ended)
    return ended


def clone_of(folder: Path) -> Path:
    """Where the clone of a run lies, in the cache."""
    return clones() / f"{folder.name}-{sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"


def clones() -> Path:
    """All of them."""
    return cache_dir() / "command" / "clones"


@dataclass
class _Once:
    """One execution of the program."""

    run: CommandRun
    records: RunFolder
    out: Path
    stop: Callable[[], bool]
    log: MetricsLog | None
    told: Telling = field(init=False)
    wrong: str = ""
    memory: int = 0
    """Bytes, the most that was seen of all its processes together."""
    program: Program | None = None

    def __post_init__(self) -> None:
        command = self.run.command
        self.told = Telling(command.reports, command.metric.final == "lowest", self.log, self._seconds)

    def execute(self) -> dict[str, Any] | None:
        """How it ended; None if it was stopped."""
        here, own = clone_of(self.records.path), self.run
        try:
            clone(Path(own.aside.place), own.version(), here)
            self.records.clone.unlink(missing_ok=True)
            self.records.clone.symlink_to(here)
            edit(here, own.command.edit, placeholders(own, self.out))
            inputs.link(Path(own.aside.place), own.aside.files, here)
            shutil.rmtree(self.out, ignore_errors=True)
            self.out.mkdir(parents=True)
            (self.records.path / METRICS).unlink(missing_ok=True)
            if self.log is not None:
                self.log.rewind(-1)
        except OSError as error:
            raise unwritable(here, error) from error
        before = inputs.signature(Path(own.aside.place), own.aside.files)
        seconds, code, stopped, why = self._run(here)
        if stopped:
            return None
        self.told.close(seconds)
        after = inputs.signature(Path(own.aside.place), own.aside.files)
        if changed := [name for name in before if after.get(name) != before[name]]:
            raise ConfigError(f"the program wrote to its input {changed[0]}, which other runs read too")
        return self._ended(seconds, code, why)

    # -- while it runs -----------------------------------------------------------------------------------------

    def _run(self, here: Path) -> tuple[float, int, bool, str]:
        """Seconds, exit code, whether it was stopped, and why it was killed if it was."""
        own, limit = self.run, self.run.aside.time_limit
        values = placeholders(own, Path(shlex.quote(str(self.out))))
        said = placeholders(own, self.out)
        variables = environment(
            {**{name: str(value) for name, value in said.items()}, **_filled(own.command.env, said)}
        )
        variables["COREGPT_METRICS"] = str(self.records.path / METRICS)
        self.output = Output(self.records.log)
        sys.stdout.flush()
        program = self.program = start(filled(own.command.run, values), here, variables, self.records.path)
        files = self._files(here)
        printed = None if own.command.metric.file else reader(own.command.metric)
        beat = weighed = program.begun
        look = beat - LOOK_SECONDS / 2  # the first one early: many programs are short
        heard, why, stopped = 0, "", False
        try:
            open_ = True
            while True:
                ready = select.select([program.output], [], [], LOOK_SECONDS / 2)[0] if open_ else []
                if ready:
                    data = os.read(program.output, CHUNK)
                    open_ = bool(data)
                    self._take(self.output.take(data), printed)
                elif not open_:
                    time.sleep(0.01)
                now = time.monotonic()
                if now - look >= LOOK_SECONDS or not open_:
                    look = now
                    if now >= weighed:
                        self.memory, weighed = max(self.memory, resident()), now + WEIGH_SECONDS
                    for growing, each in files:
                        self._take(growing.lines(), each)
                    if self.stop():
                        stopped = True
                        break
                    if limit is not None and program.seconds > limit:
                        why = f"it ran longer than its time limit of {duration(limit)} and was killed"
                        break
                    if self.wrong:
                        why = self.wrong
                        break
                    if shutil.disk_usage(self.out).free < LEAST_FREE:
                        why = f"the disk of {self.out} is full, so it was ended; make room and call again"
                        break
                    if now - beat >= BEAT_SECONDS and (limit is not None or self.output.total > heard):
                        beat, heard = now, self.output.total
                        self.told.beat(program.seconds)
                # What it printed between that look and its end is in the pipe: asked again, now that it has ended.
                if program.process.poll() is not None and not (open_ and select.select([program.output], [], [], 0)[0]):
                    break
        finally:
            seconds = program.seconds
            code = program.end()
        with contextlib.suppress(OSError):
            self._take(self.output.close(), printed)
        for growing, each in files:
            self._take(growing.lines(last=True), each)
        return seconds, code, stopped, why or self.wrong

    def _files(self, here: Path) -> list[tuple[Growing, Reader]]:
        metric = self.run.command.metric
        found = [(Growing(self.records.path / METRICS), reader(metric, reported=True))]
        if metric.file is not None:
            place = Path(filled(metric.file, placeholders(self.run, self.out)))
            found.append((Growing(here / place), reader(metric)))  # an absolute path, as {out} is, stays itself
        return found

    def _take(self, lines: Iterator[str], read: Reader | None) -> None:
        for line in lines:
            if read is None or self.wrong:
                continue
            try:
                found = read(line)
            except ValueError as error:
                self.wrong = f"a line of metrics cannot be read as numbers ({error}): {line[:200]}"
                continue
            if found is not None:
                self.told.add(found)

    def _seconds(self) -> float:
        return self.program.seconds if self.program else 0.0

    # -- at its end --------------------------------------------------------------------------------------------

    def _ended(self, seconds: float, code: int, why: str) -> dict[str, Any]:
        tail = list(self.output.newest)[-SHOWN:]
        said = f"; its last lines: {' | '.join(line[:200] for line in tail)}" if tail else "; it printed nothing"
        if why:
            if why == self.wrong:
                raise ConfigError(f"{why}; write nan where a loss was lost, or describe the line otherwise")
            raise RunError(f"{why}{said}")
        lost = bool(self.told.values) and not math.isfinite(self.told.final)
        if code != 0 and not lost:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise RunError(f"the program {how}{said}")
        if not self.told.values:
            raise ConfigError(f"the program ended, and never told {self.run.command.reports}{self._never()}{said}")
        value = self.told.final
        tokens = int(self.told.facts.get("tokens", 0))
        return {
            "status": "diverged" if lost else "finished",
            "value": None if lost else value,
            "select": None if lost else value,
            "reason": f"{self.run.command.reports} became {value}" if lost else "",
            "steps": self.told.steps,
            "tokens": tokens,
            "train_seconds": round(seconds, 3),
            "compile_seconds": 0.0,
            "tokens_per_second": tokens / seconds if tokens and seconds else None,
            "peak_memory_bytes": self.memory or None,
            "notes": [],
            "exit_code": code,
            "printed_bytes": self.output.total,
            "reported": {name: self.told.facts[name] for name in sorted(self.told.facts)},
        }

    def _never(self) -> str:
        metric = self.run.command.metric
        if metric.pattern is not None:
            near = nearest_line(metric, list(self.output.newest))
            return f": no line is like {metric.pattern!r}" + (f"; the nearest is {near[:200]!r}" if near else "")
        how = f"of format {metric.format}" if metric.format else "with it in $COREGPT_METRICS (one JSON object a line)"
        names = ", ".join(sorted(self.told.names)[:6])
        return f": no line {how} has it" + (f", only {names}" if names else "")


def _told(run: CommandRun) -> dict[str, str]:
    """What this run was computed with."""
    import torch

    device = torch.cuda.get_device_name() if run.device == "cuda" else "CPU"
    own = run.environment()
    return {**own, "device": device, "ranks": "1", "threads": os.environ.get("OMP_NUM_THREADS", "not set")}


def _filled(env: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    return {name: filled(value, dict(values)) for name, value in env.items()}


def _is_no_first_rank() -> bool:
    """Whether torchrun started this worker as another rank: the program has all of the slot's GPUs at the first one."""
    return int(os.environ.get("RANK", "0")) > 0
