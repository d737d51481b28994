"""The process that plays a finished run's model before the judge: tokens in, logits out, and it knows no target.

It is the only one of the two that imports techniques. Tokens and logits lie in memory that both share. Where processes
are forks it begins before any token is read: a fork of the judge would hold the targets, for any technique to find.
"""

import contextlib
import mmap
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError
from coregpt.engine.arithmetic.platform import set_up_cpu
from coregpt.engine.arithmetic.products import fast_products
from coregpt.engine.build import again
from coregpt.engine.inputs import FinishedModel, Stored
from coregpt.lab.guard.landlock import close_to_reading
from coregpt.lab.guard.opened import forbidden, refuse_opened
from coregpt.lab.judging.explaining import explain
from coregpt.lab.judging.side_process import Line, Message, SideProcess, forked, forks
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.inputs import inputs_of

STORES = 3
"""How many folders outwards a run that is an input is looked for: measurements and repeats lie inside of the runs."""


@dataclass(frozen=True)
class Board:
    """Where one forward pass is exchanged: at most `rows` rows of `context` tokens, with `vocab` logits each."""

    memory: mmap.mmap
    rows: int
    context: int
    vocab: int

    @classmethod
    def new(cls, rows: int, context: int, vocab: int, file: Path) -> "Board":
        """In a file that both open."""
        with file.open("ab+") as held:
            return cls.on(held.fileno(), rows, context, vocab)

    @classmethod
    def on(cls, descriptor: int, rows: int, context: int, vocab: int) -> "Board":
        """In an open file."""
        size = cls.size(rows, context, vocab)
        os.ftruncate(descriptor, size)
        return cls(mmap.mmap(descriptor, size), rows, context, vocab)

    @staticmethod
    def size(rows: int, context: int, vocab: int) -> int:
        return rows * context * (8 + 4 * vocab)

    def tokens(self, rows: int) -> Tensor:
        """(rows, context) int64, which is the shared memory itself."""
        return torch.frombuffer(self.memory, dtype=torch.int64, count=rows * self.context).view(rows, self.context)

    def logits(self, rows: int) -> Tensor:
        """(rows, context, vocab) fp32, likewise."""
        found = torch.frombuffer(
            self.memory,
            dtype=torch.float32,
            count=rows * self.context * self.vocab,
            offset=8 * self.rows * self.context,
        )
        return found.view(rows, self.context, self.vocab)


@contextlib.contextmanager
def standing_by(folder: RunFolder, device: str) -> Iterator[SideProcess | None]:
    """A fork that will play the run's model, there before any token is read; None where it will be a program."""
    process = forked(lambda line: stand_by(line, folder)) if forks(device) and is_first() else None
    try:
        yield process
    finally:
        if process is not None:
            process.close()


def is_first() -> bool:
    """Whether this is a run's only rank, or its first."""
    return os.environ.get("RANK", "0") == "0"


def stand_by(line: Line, folder: RunFolder) -> None:
    """Until the judge says what is played on; nothing, where nobody ever does."""
    asked, descriptor = line.take()
    if asked is not None:
        board = Board.on(descriptor, asked["rows"], asked["context"], asked["vocab"])
        os.close(descriptor)
        serve(line, board, folder, asked["separator"], [Path(path) for path in asked["closed"]])


def serve(line: Line, board: Board, folder: RunFolder, separator: int | None, closed: list[Path]) -> None:
    """Make the model, then answer every request until the judge hangs up. `closed` are files that it must not read."""
    with forbidden(closed):
        close_to_reading(closed)
        try:
            model, device = model_of(folder, separator)
            line.send(ready=True)
            while (asked := line.receive()) is not None:
                play_once = partial(answer, model, board, asked["rows"], device)
                line.send(**(forgotten(play_once) if asked["forget"] and forks(device.type) else play_once()))
        except Exception as error:  # of the technique's code, in whatever way
            line.send(failed=explain(error))


def answer(model: FinishedModel, board: Board, rows: int, device: torch.device) -> Message:
    try:
        play(model, board, rows, device)
        refuse_opened()
    except Exception as error:
        return {"failed": explain(error)}
    return {"done": rows}


def forgotten(answer: Callable[[], Message]) -> Message:
    """The answer of a fork, so that nothing in this process knows what was asked."""
    process = forked(lambda line: line.send(**answer()))
    said = process.line.receive()
    process.close()
    return said or {"failed": "the process of one pass ended"}


def model_of(folder: RunFolder, separator: int | None) -> tuple[FinishedModel, torch.device]:
    config = RunConfig.model_validate(folder.config()["config"])
    if config.device == "cpu":
        set_up_cpu()
    torch.manual_seed(config.seed)
    catalogue = folder.catalogue(folder.path.parents[:STORES])
    plugins, inputs = catalogue.instances(config.plugins), inputs_of(config, catalogue)
    stored = Stored(folder.weights, config, plugins, inputs, no_model="")
    return again(stored, config.device, separator), torch.device(config.device)


def play(model: FinishedModel, board: Board, rows: int, device: torch.device) -> None:
    """Logits of the tokens on the board, as `engine.evaluate` would compute them."""
    tokens = board.tokens(rows).to(device, copy=True)
    with torch.autocast(device.type, enabled=False), fast_products(device):
        logits = model(tokens)
    there = board.logits(rows)
    if type(logits) is not Tensor or logits.shape != there.shape:
        shape = tuple(getattr(logits, "shape", ()))
        raise PluginError(f"expected logits of shape {tuple(there.shape)}, found {type(logits).__name__} of {shape}")
    there.copy_(logits)


def main(words: list[str]) -> None:
    """`FD RUN_DIR BOARD ROWS CONTEXT VOCAB SEPARATOR CLOSED...`, where the judge could not fork."""
    number, run_dir, file, rows, context, vocab, separator, *closed = words
    board = Board.new(int(rows), int(context), int(vocab), Path(file))
    between = None if separator == "none" else int(separator)
    line = Line(socket.socket(fileno=int(number)))
    serve(line, board, RunFolder(Path(run_dir)), between, [Path(path) for path in closed])


if __name__ == "__main__":
    main(sys.argv[1:])
