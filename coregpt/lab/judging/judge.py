"""The process that measures the loss that counts. No technique is ever imported into it.

It is there before the training process imports its techniques, holds the tokens of the evaluation from then on, and has
the final weights played by a process of their own (`player.py`), which is given tokens and never held a target. So a
technique cannot reach the loss, its precision, or the tokens; what it decides is logits, and those must not hang on
later tokens or on other rows. What is shown first are rows whose ends are not the true ones, to a process that ends
with its answer: a model that looks ahead, or remembers, answers otherwise when it sees the true ones.
"""

import math
import os
import random
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import CoreGPTError, PluginError, RunError
from coregpt.engine.data import TokenSource, eval_rows, judged_rows, open_data
from coregpt.engine.training.evaluate import counting, total_loss
from coregpt.engine.training.outcome import HELD_OUT, SELECT
from coregpt.lab.judging import player
from coregpt.lab.judging.player import Board
from coregpt.lab.judging.side_process import Line, SideProcess, started
from coregpt.lab.records.store import MetricsLog, RunFolder

Rows = tuple[Tensor, Tensor]
SEALED = "sealed_loss"
"""Loss on a second text that no run is trained on, chosen by or named: where an arm is better on `held_out` alone,
it knows the text."""
PASS_TOKENS = {"cpu": 2048, "cuda": 4096}
"""Tokens of one forward pass: what fits a core's caches, and what host memory can hold with 50,000 logits each."""
SEALED_SHARE = 0.5
"""Of the tokens of an evaluation: arms are compared seed by seed, and every seed reads another place."""
TOLERANCE = 1e-3
"""Of the largest logit. Rounding stays far below; what is worth cheating for lies far above."""
SHARE = 0.25
"""Of the rows: rounding that tips a discrete choice (an expert) moves one by chance, a leak moves them all."""
COLUMNS = 256
"""Logits of each token that are compared."""
AGREE = 2e-4
"""How far the training process's own loss may be from the judge's, as a share of 1 + loss: compiled code, or another
number of rows at a time, rounds otherwise."""


@dataclass
class Judge:
    """What is settled before any technique is imported."""

    folder: RunFolder
    config: RunConfig
    separator: int | None
    vocab: int
    streams: dict[str, Rows]
    closed: list[Path]
    stage: SideProcess | None = None
    """The process that waits to play the model; None where a program will."""
    chance: random.Random = field(default_factory=random.SystemRandom)

    @classmethod
    def of(cls, folder: RunFolder, config: RunConfig, source: TokenSource, stage: SideProcess | None = None) -> "Judge":
        streams = {
            SELECT: judged_rows(source, source.select, config, "select"),
            HELD_OUT: judged_rows(source, source.held_out, config, "held_out"),
        }
        second = sealed(config, source)
        if second is not None:
            streams[SEALED] = second
        return cls(folder, config, source.separator, source.vocab, streams, list(source.held_out_files), stage)

    def serve(self, line: Line) -> None:
        """Judge what is asked until the training process is gone."""
        torch.set_num_threads(1)
        while (asked := line.receive()) is not None:
            try:
                line.send(**self.decide(asked["outcome"], asked["row"]))
            except CoreGPTError as error:
                line.send(refused=str(error), repeats=isinstance(error, PluginError))

    def decide(self, outcome: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        """Measure, write the run's last row and its result, and say what it is. Raises RunError for a refusal."""
        losses = self.examine()
        compare(outcome, losses)
        if all(map(math.isfinite, losses.values())):
            ended = {**outcome, "value": losses[HELD_OUT], "select": losses[SELECT], "sealed": losses.get(SEALED)}
        else:
            reason = f"evaluation loss is not finite at step {outcome['steps']}"
            ended = {**outcome, "status": "diverged", "value": None, "select": None, "reason": reason}
        log = MetricsLog(self.folder)
        log.record({**row, SELECT: losses[SELECT], HELD_OUT: losses[HELD_OUT]})
        log.close()
        if ended["status"] != "finished" or not self.folder.keeps_weights():
            self.folder.weights.unlink(missing_ok=True)
        self.folder.write_result(ended)
        return {"result": ended}

    @contextmanager
    def played(self) -> Iterator["Played"]:
        """The model of the final weights, in a process that imports its techniques."""
        context, device = self.config.model.context, self.config.device
        rows = max(1, min(PASS_TOKENS[device] // context, len(self.streams[HELD_OUT][0])))
        with tempfile.TemporaryDirectory() as place:
            board, process = self.staged(rows) if self.stage else self.started(rows, Path(place) / "board")
            try:
                ready = process.line.receive()
                if ready is None or "failed" in ready:
                    raise RunError(f"the final weights make no model: {(ready or {}).get('failed', 'it ended')}")
                yield Played(process.line, board, torch.device(device))
            finally:
                process.close()

    def staged(self, rows: int) -> tuple[Board, SideProcess]:
        """The board, in memory that only the process which waits is handed, and that process."""
        assert self.stage is not None
        descriptor = os.memfd_create("board")
        board = Board.on(descriptor, rows, self.config.model.context, self.config.model.vocab)
        closed = [str(path) for path in self.closed]
        sizes = {"rows": board.rows, "context": board.context, "vocab": board.vocab}
        self.stage.line.hand(descriptor, **sizes, separator=self.separator, closed=closed)
        os.close(descriptor)
        return board, self.stage

    def started(self, rows: int, file: Path) -> tuple[Board, SideProcess]:
        board = Board.new(rows, self.config.model.context, self.config.model.vocab, file)
        between = "none" if self.separator is None else str(self.separator)
        sizes = map(str, (board.rows, board.context, board.vocab))
        words = (str(self.folder.path), str(file), *sizes, between, *map(str, self.closed))
        return board, started(player.__name__, *words)

    def examine(self) -> dict[str, float]:
        """Losses by stream. Raises RunError if logits hang on later tokens or other rows."""
        inputs, targets = self.streams[HELD_OUT]
        early = None if self.stage else self.look_of_another()
        with self.played() as model:
            first = early or look(model, inputs, targets, self.vocab, self.chance)
            losses = {HELD_OUT: model.loss(inputs, targets, first)}
            refuse_leaks(first)
            return losses | {name: model.loss(*rows) for name, rows in self.streams.items() if name != HELD_OUT}

    def look_of_another(self) -> "Look":
        """What a program says that then ends. The one whose losses count, another, can't forget: it must never know."""
        with self.played() as model:
            return look(model, *self.streams[HELD_OUT], self.vocab, self.chance)


@dataclass
class Played:
    """The model behind the line."""

    line: Line
    board: Board
    device: torch.device
    """Where losses are computed: 50,000 logits a token in float64 are too many for a CPU beside a GPU."""

    def logits(self, tokens: Tensor, forget: bool = False) -> Tensor:
        """(rows, context, vocab) fp32 of tokens (rows, context); overwritten by the next call.

        `forget`: where processes are forks, the model that answers later calls has not seen these.
        """
        rows = len(tokens)
        self.board.tokens(rows).copy_(tokens)
        try:
            self.line.send(rows=rows, forget=forget)
            said = self.line.receive()
        except OSError:
            said = None
        if said is None or "failed" in said:
            raise RunError(
                f"the final weights cannot be evaluated: {(said or {}).get('failed', 'their process ended')}"
            )
        return self.board.logits(rows)

    def loss(self, inputs: Tensor, targets: Tensor, first: "Look | None" = None) -> float:
        """Mean over rows (N, T) in nats per token; `first` is told what the model says of the true rows."""
        total = torch.zeros((), dtype=torch.float64)
        for start in range(0, len(inputs), self.board.rows):
            part = slice(start, start + self.board.rows)
            logits = self.logits(inputs[part])
            scored, true = logits.flatten(0, 1).to(self.device), targets[part].flatten().to(self.device)
            total += total_loss(scored, true).cpu()
            if first is not None:
                first.compare(start, logits)
        return float(total) / counting(targets)


@dataclass
class Look:
    """Rows of the evaluation among others than their neighbours, each true up to a place of its own."""

    rows: list[int]
    seen: list[int]
    """How many tokens of each were true."""
    columns: Tensor
    targets: Tensor
    before: Tensor
    """(rows, T, columns): some of the logits."""
    losses: Tensor
    """(rows, T): losses of the true targets."""
    largest: float = 0.0
    moved: list[float] = field(default_factory=list)
    """How far each row's logits moved when the rest was the true one."""
    gained: list[Tensor] = field(default_factory=list)
    """How much lower each row's losses were then, of every token that was true."""

    def compare(self, start: int, logits: Tensor) -> None:
        for place, (row, seen) in enumerate(zip(self.rows, self.seen, strict=True)):
            if start <= row < start + len(logits):
                now = logits[row - start, :seen]
                self.moved.append(_furthest(now[:, self.columns], self.before[place, :seen]))
                self.gained.append(self.losses[place, :seen] - each_loss(now, self.targets[place, :seen]))
                self.largest = max(self.largest, float(torch.nan_to_num(now, 0, 0, 0).abs().max()))


def _furthest(now: Tensor, before: Tensor) -> float:
    """The largest difference; ids that a model rules out, at minus infinity, have not moved."""
    return float(torch.where(now == before, 0.0, now - before).abs().max())


def look(model: Played, inputs: Tensor, targets: Tensor, vocab: int, chance: random.Random) -> Look:
    """Show the model some rows before it has seen them whole.

    What answers here must be gone when it has answered, a fork or a program of its own: one that knew these rows again
    could keep to what it said of them, and look ahead in all others.
    """
    (count, length), rows = inputs.shape, min(model.board.rows, len(inputs))
    chosen = chance.sample(range(count), rows)
    seen = [
        chance.choice((chance.randint(1, length), length)) if rows > 1 else chance.randint(1, length) for _ in chosen
    ]
    tokens = inputs[chosen]
    generator = torch.Generator().manual_seed(chance.getrandbits(32))
    for place, many in enumerate(seen):
        tokens[place, many:] = torch.randint(0, vocab, (length - many,), generator=generator)
    logits = model.logits(tokens, forget=True)
    columns = torch.randint(0, logits.shape[-1], (COLUMNS,), generator=generator)
    own = targets[chosen]
    found = Look(chosen, seen, columns, own, logits[..., columns].clone(), each_loss(logits, own))
    logits.zero_()  # what was said lies in memory that the player has too
    return found


def each_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(logits)[target] in float64, (...) of logits (..., V) and targets (...)."""
    wide = logits.double()
    return torch.logsumexp(wide, -1) - wide.gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)


def refuse_leaks(look: Look) -> None:
    """Raises RunError if what a model says of a row moves with its later tokens or its neighbours."""
    moved = sorted(each / (1 + look.largest) for each in look.moved)
    typical = moved[int(len(moved) * (1 - SHARE))]
    gained = float(torch.cat(look.gained).mean())
    if typical > TOLERANCE or gained > TOLERANCE:
        raise RunError(
            f"the trained model sees what it must not: logits moved by {typical:.2g} of the largest when only later "
            f"tokens or other rows changed, and losses by {gained:.2g}; this run cannot count (coregpt plugins check "
            "NAME tests a plugin)"
        )


def compare(outcome: Mapping[str, Any], losses: Mapping[str, float]) -> None:
    """Raises PluginError where the training process measured something else than the judge."""
    for name, stream in (("select", SELECT), ("value", HELD_OUT)):
        own, found = outcome[name], losses[stream]
        if own is not None and math.isfinite(own) and not abs(own - found) <= AGREE * (1 + abs(found)):
            raise PluginError(
                f"{stream} of the final weights is {found:.5f}, but the training process measured {own:.5f}: a "
                "technique changes the loss, its tokens or the model only while it is evaluated, or keeps a part of "
                "the model out of its weights and buffers; this run cannot count"
            )


def sealed_tokens(config: RunConfig, source: TokenSource) -> int:
    """How many tokens the second text has; 0 where there is no room for it, and for a text that is counted in bytes:
    at a place by tokens it would be another text for another tokenizer."""
    if config.eval_bytes is not None:
        return 0
    context = config.model.context
    tokens = max(1, round(config.eval_tokens // context * SEALED_SHARE)) * context
    return tokens if len(source.select) >= config.eval_tokens + 1 + tokens + 1 else 0


def sealed(config: RunConfig, source: TokenSource) -> Rows | None:
    """Another text, from what is neither trained on nor read as `select`; None where there is no room for it.

    It lies behind `select`'s, at a place that hangs on the run's seed, so that arms are compared on one text.
    """
    tokens, read = sealed_tokens(config, source), config.eval_tokens + 1
    if not tokens:
        return None
    places = len(source.select) - read - tokens
    drawn = int(np.random.Philox(np.random.SeedSequence([config.seed, SEALED_ORDER])).random_raw(1)[0])
    start = read + drawn % places
    return eval_rows(source.select.part(start, start + tokens + 1), config.model.context, tokens, "sealed")


SEALED_ORDER = 3  # keeps this draw apart from any other of the same seed


def main(words: list[str]) -> None:
    """`FD RUN_DIR`, where a training process could not fork."""
    folder = RunFolder(Path(words[1]))
    config = RunConfig.model_validate(folder.config()["config"])
    Judge.of(folder, config, open_data(config.data)).serve(Line(socket.socket(fileno=int(words[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
