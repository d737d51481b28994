"""The run folder: what a run is, what it measured, how it ended. Plain files, each complete or absent.

config.json    written first: settings, digests, frozen plugin files
metrics.jsonl  one object per line, appended and flushed while training
env.json       versions and device
checkpoint.pt  written by the engine, gone when the run is complete
inputs.json    digests of the weights that the run was given
weights.pt     written by the engine when the run has finished: its model as it was evaluated last
log.txt        what the process printed
error.json     why the last attempt failed
result.json    written last: it exists if and only if the run is complete
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coregpt.contract.errors import RunError
from coregpt.lab.atomic import read_json, write_json, write_text
from coregpt.lab.study.identity import IMPORTS, counted
from coregpt.lab.study.part import WEIGHTS
from coregpt.lab.study.registry import Catalogue

Row = dict[str, float | int]
RECENT_BYTES = 4096
TRACEBACK = re.compile(
    r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*\S.*\n(?:\n(?:The above|During handling).*\n\n)?", re.M
)
"""A traceback in a log, its last line and what leads to the next one included."""
CLONE = "clone"
PROBE = ".probe-"
"""How the names of folders beside the runs begin in which something is measured."""


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. Reading never changes anything."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """Final weights, as `engine.weights` reads them; they count if there is a result."""
        return self.path / WEIGHTS

    @property
    def clone(self) -> Path:
        """A link to where a program was executed; there is none for our trainer's runs."""
        return self.path / CLONE

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def plugins(self) -> Path:
        """Frozen copies of single plugin files, and in `imports` of the sources that plugins import."""
        return self.path / "plugins"

    def catalogue(self, stores: Iterable[Path] = ()) -> Catalogue:
        """The techniques as this run has them: single files, and all that they import, from its own folder.

        Runs that it is given as inputs are looked for in `stores`.
        """
        return Catalogue(sorted(self.plugins.glob("*.py")), self.plugins / IMPORTS, stores)

    def create(self, config: dict[str, Any], plugin_files: dict[str, Path]) -> None:
        """Make the folder. One that is there already keeps what it has.

        Until the run ends its data may move, and it is looked at as the study wants that asked last. If only one of two
        studies with the same run says `keep: nothing`, or has no use for a curve on `held_out`, the other one gets it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for name, source in plugin_files.items():
            copy = self.plugins / f"{name}.py"
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists():
                copy.write_bytes(source.read_bytes())
        there = read_json(self.config_file)
        if there is None:
            write_json(self.config_file, config)
            return
        if there.get("aside") != config.get("aside") and self.result() is None:
            there = {**there, "aside": config.get("aside")}
            write_json(self.config_file, there)
        if there.get("config") != config.get("config") and self.result() is None and _same(there, config):
            curve = there["config"].get("held_out_curve") or config["config"]["held_out_curve"]
            write_json(self.config_file, {**there, "config": {**config["config"], "held_out_curve": curve}})
        if "keep" not in config:
            self.keep_weights()

    def keeps_weights(self) -> bool:
        """Whether the run is to leave its final weights."""
        return self.config().get("keep") != "nothing"

    def keep_weights(self) -> None:
        """From now on it is."""
        if not self.keeps_weights():
            write_json(self.config_file, {k: v for k, v in self.config().items() if k != "keep"})

    def given(self) -> dict[str, str]:
        """sha256 of the weights of each input when the run began."""
        return read_json(self.path / "inputs.json") or {}

    def write_given(self, digests: dict[str, str]) -> None:
        write_json(self.path / "inputs.json", digests)

    def config(self) -> dict[str, Any]:
        """Raises RunError if there is none."""
        found = read_json(self.config_file)
        if found is None:
            raise RunError(f"{self.path} is not a run folder: it has no config.json")
        return found

    def environment(self) -> dict[str, str]:
        return read_json(self.path / "env.json") or {}

    def write_environment(self, facts: dict[str, str]) -> None:
        write_json(self.path / "env.json", facts)

    def result(self) -> dict[str, Any] | None:
        """How the run ended; None while it is not complete."""
        return read_json(self.result_file)

    def write_result(self, result: dict[str, Any]) -> None:
        """The run is complete: nothing else of it will change."""
        write_json(self.result_file, result)
        (self.path / "error.json").unlink(missing_ok=True)
        self.checkpoint.unlink(missing_ok=True)

    def paused(self) -> int:
        """The last step at which the run was to pause and did, its checkpoint being there or later; 0 if none."""
        return self.pause_asked() if self.checkpoint.exists() else 0

    def pause_asked(self) -> int:
        """The last step at which the run was to pause and did, whether or not its checkpoint is left; 0 if none."""
        return int((read_json(self.path / "paused.json") or {"step": 0})["step"])

    def write_paused(self, step: int) -> None:
        write_json(self.path / "paused.json", {"step": step})

    def micro_rows(self) -> int | None:
        """Rows per forward pass that the memory here allows, if that was found out the hard way."""
        return (read_json(self.path / "memory.json") or {}).get("micro_rows")

    def write_micro_rows(self, rows: int) -> None:
        """The run starts over with fewer rows per pass: all of it is computed alike."""
        write_json(self.path / "memory.json", {"micro_rows": rows})
        self.checkpoint.unlink(missing_ok=True)

    def error(self) -> dict[str, Any] | None:
        return read_json(self.path / "error.json")

    def write_error(self, message: str, details: str, *, again: bool = False, must_repeat: bool = False) -> None:
        """`again`: another attempt will go differently; `must_repeat`: none will, nor would another run of the arm."""
        signs = {name: True for name, given in (("again", again), ("must_repeat", must_repeat)) if given}
        write_json(self.path / "error.json", {"message": message, "traceback": details, **signs})

    def clear_error(self) -> None:
        (self.path / "error.json").unlink(missing_ok=True)

    def rows(self) -> list[Row]:
        """Every complete line of the metrics."""
        try:
            raw = self.metrics.read_bytes()
        except FileNotFoundError:
            return []
        return list(_parse(raw))

    def write_rows(self, rows: Iterable[Row]) -> None:
        """Begin the metrics with the rows of another run."""
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def newest(self) -> Row:
        """The last few rows as one, cheaply: the newest value of everything measured lately."""
        try:
            with self.metrics.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - RECENT_BYTES))
                raw = file.read()
        except FileNotFoundError:
            return {}
        return {key: value for row in _parse(raw) for key, value in row.items()}

    def log_tail(self, lines: int = 8) -> str:
        """The end of what the process printed, without tracebacks: those are for whoever opens the log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(TRACEBACK.sub("", text).rstrip().splitlines()[-lines:])


class MetricsLog:
    """Appends rows to metrics.jsonl; what is on disk is at most one line behind."""

    def __init__(self, folder: RunFolder):
        self.path = folder.metrics
        self.path.touch()
        self._drop_torn_line()
        self.file = self.path.open("a", encoding="utf-8")

    def record(self, row: Row) -> None:
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def rewind(self, step: int) -> None:
        """Forget rows beyond `step`, which a resumed run will write again."""
        kept = [row for row in _parse(self.path.read_bytes()) if row["step"] <= step]
        self.file.close()
        part = self.path.with_suffix(".part")
        part.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        os.replace(part, self.path)
        self.file = self.path.open("a", encoding="utf-8")

    def close(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def _drop_torn_line(self) -> None:
        raw = self.path.read_bytes()
        if raw and not raw.endswith(b"\n"):
            os.truncate(self.path, raw.rfind(b"\n") + 1)


class Unrecorded:
    """The sink of every rank but the first."""

    def record(self, row: Row) -> None:
        """Rank 0 writes."""

    def rewind(self, step: int) -> None:
        """Rank 0 rewinds."""


def _same(there: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether two records are of one run: its data may have been moved, and it may be looked at more often."""
    return counted(there["config"]) == counted(config["config"])


def _parse(raw: bytes) -> Iterator[Row]:
    for line in raw.split(b"\n")[:-1]:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            yield row
