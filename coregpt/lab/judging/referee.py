"""The judge as the training process sees it: begun before any technique is imported, asked when training has ended."""

import gc
from types import TracebackType
from typing import Any, Self

import torch

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError, RunError
from coregpt.engine.data import TokenSource
from coregpt.engine.training.outcome import SELECT
from coregpt.lab.judging import judge
from coregpt.lab.judging.player import is_first
from coregpt.lab.judging.side_process import SideProcess, forked, started
from coregpt.lab.records.store import MetricsLog, Row, RunFolder


class Referee:
    """One for a run, beside its first rank; it is gone when the block ends."""

    def __init__(self, folder: RunFolder, config: RunConfig, source: TokenSource, stage: SideProcess | None = None):
        """`stage` waits to play the model where processes are forks; from now on it hears the judge alone."""
        self.config = config
        self.process: SideProcess | None = None
        if stage is not None:
            made = judge.Judge.of(folder, config, source, stage)
            end = stage.line.end
            self.process = forked(made.serve, keep=[end.fileno()])
            end.close()
        elif is_first():
            judge.Judge.of(folder, config, source)  # what is wrong with the data is told here and now
            self.process = started(judge.__name__, str(folder.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process is not None:
            self.process.close()

    def decide(self, outcome: dict[str, Any], row: Row) -> dict[str, Any]:
        """The result that the judge has written, of the weights that were left.

        Raises PluginError or RunError where it refuses.
        """
        assert self.process is not None
        gc.collect()
        if self.config.device == "cuda":
            torch.cuda.empty_cache()  # the judge's model needs room beside what is left of this one
        try:
            self.process.line.send(outcome=outcome, row=row)
            said = self.process.line.receive()
        except OSError:
            said = None
        if said is None:
            raise RunError("the process that measures the final loss ended; its words are in the log")
        if "refused" in said:
            raise (PluginError if said["repeats"] else RunError)(said["refused"])
        found: dict[str, Any] = said["result"]
        return found


class HeldBack:
    """A log whose last evaluation waits for the judge, who writes it with the loss that counts."""

    def __init__(self, log: MetricsLog, last: int):
        self.log, self.last = log, last
        self.row: Row | None = None

    def record(self, row: Row) -> None:
        if row["step"] == self.last and SELECT in row:
            self.row = row
        else:
            self.log.record(row)

    def rewind(self, step: int) -> None:
        self.row = None
        self.log.rewind(step)

    def close(self, finished: bool) -> Row | None:
        """The row that waits; written where no judge will."""
        row, self.row = self.row, None
        if row is not None and not finished:
            self.log.record(row)
            row = None
        self.log.close()
        return row
