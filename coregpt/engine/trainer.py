"""The loop. It knows steps, gradients and the clock, and nothing about any technique."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from coregpt.contract.companion import Companion
from coregpt.contract.errors import ConfigError
from coregpt.contract.rules import Clock
from coregpt.engine import checkpoint
from coregpt.engine.build import Run
from coregpt.engine.compiling import prepare
from coregpt.engine.data import Ahead, RowOrder, TokenSource, eval_rows
from coregpt.engine.ends import accumulating
from coregpt.engine.evaluate import evaluate
from coregpt.engine.outcome import HELD_OUT, SELECT, Outcome, Progress, Sink
from coregpt.engine.platform import peak_memory
from coregpt.engine.scaling import LossScale, autocast
from coregpt.engine.timeline import cut

MicroBatch = tuple[Tensor, Tensor, Tensor]

FLUSH = {"cpu": 1, "cuda": 32}
"""Steps between two reads of the loss: on CUDA reading waits for the device."""
EVAL_TOKENS = {"cpu": 2048, "cuda": 16_384}
"""Tokens of one evaluation pass: what fits a core's caches, and what fills a GPU with 50,000 fp32 logits each."""


@dataclass
class Trainer:
    """One rank's part of one run."""

    run: Run
    source: TokenSource
    sink: Sink
    path: Path
    stop: Callable[[], bool]
    checkpoint_seconds: float
    until: int | None = None
    trunk: Path | None = None
    progress: Progress = field(default_factory=Progress)
    pending: list[tuple[int, float, Tensor]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        config, timeline = self.run.config, self.run.timeline
        if self.source.vocab > config.model.vocab:
            raise ConfigError(
                f"model.vocab is {config.model.vocab}, but {self.source.name} has ids up to {self.source.vocab - 1}"
            )
        self.order = RowOrder(self.source.train, config.model.context, config.data_seed)
        self.eval_data = {
            name: eval_rows(stream, config.model.context, config.eval_tokens, called)
            for name, stream, called in (
                (SELECT, self.source.select, "select"),
                (HELD_OUT, self.source.held_out, "held_out"),
            )
        }
        spaced = {round(i * timeline.steps / config.evals) for i in range(config.evals + 1)}
        self.eval_steps = spaced | {timeline.steps}
        self.scale = LossScale() if config.precision == "fp16" else None
        on_cuda = self.run.device.type == "cuda"
        self.ahead = Ahead(wanted=on_cuda, pinned=on_cuda)
        self.started = time.perf_counter()

    # -- one step ------------------------------------------------------------------------------------------

    def rank_rows(self, step: int) -> int:
        """Rows of `context` tokens this rank handles in one step."""
        rows, size = self.run.timeline.rows(step), self.run.world.size
        if rows % size:
            raise ConfigError(f"a batch of {rows} rows cannot be shared by {size} ranks")
        return rows // size

    def place(self, step: int) -> tuple[int, int]:
        """First row, and number of rows, that this rank handles in one step."""
        share = self.rank_rows(step)
        return self.run.timeline.first_rows[step] + self.run.world.rank * share, share

    def micro_rows(self, step: int) -> int:
        """Rows of one forward pass: the largest divisor of the rank's share that `micro_rows` allows."""
        share = self.rank_rows(step)
        limit = min(self.run.config.micro_rows or share, share)
        return next(rows for rows in range(limit, 0, -1) if share % rows == 0)

    def pass_rows(self, step: int) -> int:
        """Sequences of one forward pass, which are shorter and more when the sequence length is staged."""
        return self.micro_rows(step) * self.run.timeline.sequences(step)

    def autocast(self) -> Any:
        return autocast(self.run.device.type, self.run.config.precision)

    def train_step(self, step: int) -> Tensor:
        """Forward, backward, update; returns the step's logged scalars as one vector."""
        run, timeline = self.run, self.run.timeline
        clock = timeline.clock(step)
        run.dials.set(clock)
        for companion in run.companions:
            companion.before_step(clock)
        micro, length = self.micro_rows(step), timeline.lengths[step]
        first, _ = place = self.place(step)
        following = self.place(step + 1) if step + 1 < timeline.steps else None
        inputs, targets = (cut(rows, length) for rows in self.ahead.take(self.order.rows, place, following))
        for companion in run.companions:
            companion.sees_batch(clock, inputs, targets)
        batch = self.micro_batches(inputs, targets, first, micro * timeline.sequences(step))
        logged: Tensor | None = None
        for x, y, starts in batch:
            with self.autocast():
                loss, scalars = self.calls.forward(x, y, run.dials.values, starts)
            self.backward(loss / (len(batch) * run.world.size))
            self.names = self.names or list(scalars)
            values = torch.stack([value.float() for value in scalars.values()]) / len(batch)
            logged = values if logged is None else logged + values
        run.optimizer.reduce()
        finite = self.unscaled()
        for companion in run.companions:
            if finite and companion.wants_pass(clock):
                finite = self.second_pass(companion, clock, batch)
        self.update(clock, finite)
        assert logged is not None
        return logged

    def micro_batches(self, inputs: Tensor, targets: Tensor, first: int, size: int) -> list[MicroBatch]:
        """(tokens, targets, starts) of every forward pass of a step, on the device, `size` sequences each.

        `first` is the number of the step's first row.
        """
        (count, length), context, device = inputs.shape, self.run.timeline.context, self.run.device
        sequences = context // length
        rows = first + torch.arange(count // sequences)
        starts = rows[:, None] * context + torch.arange(sequences) * length
        parts = (each.to(device, non_blocking=True).split(size) for each in (inputs, targets, starts.flatten()))
        return list(zip(*parts, strict=True))

    def second_pass(self, companion: Companion, clock: Clock, batch: list[MicroBatch]) -> bool:
        """The forward and backward pass that a companion asked for; its gradients take the place of the first's.

        False where they overflowed.
        """
        run = self.run
        with torch.no_grad():
            companion.before_pass(clock)
        run.optimizer.clear()
        for x, y, starts in batch:

            def loss(tokens: Tensor, targets: Tensor, starts: Tensor = starts) -> Tensor:
                return self.calls.forward(tokens, targets, run.dials.values, starts)[0]

            with self.autocast():
                found = companion.pass_loss(loss, x, y)
            self.backward(found / (len(batch) * run.world.size))
        run.optimizer.reduce()
        finite = self.unscaled()
        with torch.no_grad():
            companion.after_pass(clock)
        return finite

    def backward(self, loss: Tensor) -> None:
        with accumulating():
            (loss if self.scale is None else loss * self.scale.scale).backward()

    def unscaled(self) -> bool:
        """Undo the loss scale; False where gradients overflowed, which become zero. The same on every rank."""
        finite = self.scale is None or self.scale.unscale(stack.grad for stack in self.run.optimizer.stacks)
        if not finite:
            self.run.optimizer.clear()
        return finite

    def update(self, clock: Clock, finite: bool) -> None:
        """Move the parameters, or skip the step and forget the gradients."""
        run = self.run
        if self.scale is not None:
            self.scale.update(finite)
        if not finite:
            run.optimizer.clear()
            return
        for companion in run.companions:
            companion.before_update(clock)
        run.optimizer.step(run.dials.lr_factor, run.dials.values)
        with torch.no_grad():
            for companion in run.companions:
                companion.after_update(clock)

    # -- the loop ------------------------------------------------------------------------------------------

    def go(self) -> Outcome:
        try:
            return self.to_the_end()
        finally:
            self.ahead.close()

    def to_the_end(self) -> Outcome:
        run, steps = self.run, self.run.timeline.steps
        pause = steps if self.until is None else min(self.until, steps)
        torch.manual_seed(run.config.seed)
        self.calls = prepare(run, self.pass_rows, self.autocast)
        self.progress.compile_seconds = self.calls.seconds
        if self.path.exists():
            self.progress = Progress(**checkpoint.load(self.path, run))
            self.sink.rewind(self.progress.step)
        elif self.trunk is not None:
            shared = Progress(**checkpoint.branch(self.trunk, run))
            self.progress = replace(shared, shared_step=shared.step, shared_seconds=shared.seconds)
            self.progress.compile_seconds = self.calls.seconds
            self.sink.rewind(self.progress.step)
        else:
            self.sink.rewind(-1)
            self.measure(0)
        if self.scale is not None and self.progress.scaling:
            self.scale = LossScale(**self.progress.scaling)
        saved = time.perf_counter()
        run.model.train()
        if pause <= self.progress.step < steps:
            return self.stopped()
        while self.progress.step < steps:
            begun = time.perf_counter()
            scalars = self.train_step(self.progress.step)
            self.progress.step += 1
            self.pending.append((self.progress.step, self.progress.seconds, scalars))
            if self.scale is not None and self.scale.failed:
                self.flush()
                return self.outcome("diverged", f"gradients are not finite at step {self.progress.step}, even unscaled")
            evaluating = self.progress.step in self.eval_steps
            if evaluating or len(self.pending) >= FLUSH[run.device.type]:
                bad = self.flush()
                if bad is not None:
                    return self.diverged("training", bad)
            self.progress.seconds += time.perf_counter() - begun
            if evaluating and not self.measure(self.progress.step):
                return self.diverged("evaluation", self.progress.step)
            if self.progress.step < steps:
                asked = self.stop() or self.progress.step == pause
                stopping, due = self.agree(asked, time.perf_counter() - saved > self.checkpoint_seconds)
                if stopping or due:
                    bad = self.flush()  # a run that goes on from here would never write what is pending
                    if bad is not None:
                        return self.diverged("training", bad)
                    self.save()
                    saved = time.perf_counter()
                if stopping:
                    return self.stopped()
        return self.outcome("finished", "")

    def stopped(self) -> Outcome:
        return self.outcome("stopped", f"stopped at step {self.progress.step} of {self.run.timeline.steps}")

    def diverged(self, which: str, step: int) -> Outcome:
        return self.outcome("diverged", f"{which} loss is not finite at step {step}")

    def agree(self, *wishes: bool) -> list[bool]:
        """What any rank wishes, all ranks do: they must save the same step. No GPU waits: the flags are on the CPU."""
        if self.run.world.size == 1:
            return list(wishes)
        flags = torch.tensor(wishes, dtype=torch.float32)
        return [bool(flag > 0) for flag in self.run.world.all_reduce(flags)]

    def save(self) -> None:
        if self.scale is not None:
            self.progress.scaling = self.scale.state()
        checkpoint.save(self.path, self.run, vars(self.progress))

    def flush(self) -> int | None:
        """Write pending losses; returns the first step whose loss is not finite."""
        if not self.pending:
            return None
        values = torch.stack([scalars for _, _, scalars in self.pending])
        values = self.run.world.all_reduce(values) / self.run.world.size
        bad = None
        for (step, seconds, _), row in zip(self.pending, values.tolist(), strict=True):
            self.record(step, dict(zip(self.names, row, strict=True)), seconds)
            if bad is None and not math.isfinite(row[0]):
                bad = step
        self.pending.clear()
        return bad

    def measure(self, step: int) -> bool:
        """Evaluate and record; False when a loss is not finite. `held_out` is left alone where nobody may read it."""
        run, both = self.run, step == self.run.timeline.steps or self.run.config.held_out_curve
        with contextlib.ExitStack() as stack:
            for companion in run.companions:
                stack.enter_context(companion.evaluating())
            losses = {name: self.loss(*self.eval_data[name]) for name in ((SELECT, HELD_OUT) if both else (SELECT,))}
        extra = {name: number for companion in run.companions for name, number in companion.metrics().items()}
        extra |= {} if self.scale is None else self.scale.metrics()
        self.record(step, {**losses, **extra}, self.progress.seconds)
        self.progress.select, self.progress.value = losses[SELECT], losses.get(HELD_OUT)
        return all(math.isfinite(loss) for loss in losses.values())

    def loss(self, inputs: Tensor, targets: Tensor) -> float:
        """Mean over rows (N, T) that all ranks share, in nats per token."""
        run = self.run
        share = -(-len(inputs) // run.world.size)
        mine = slice(run.world.rank * share, (run.world.rank + 1) * share)
        rows = max(1, EVAL_TOKENS[run.device.type] // run.config.model.context)
        total = torch.zeros((), dtype=torch.float64, device=run.device)
        if len(inputs[mine]):
            found = evaluate(run.model, self.calls.logits, inputs[mine], targets[mine], run.dials.values, rows)
            total += found * (len(inputs[mine]) / len(inputs))
        return float(run.world.all_reduce(total))

    def record(self, step: int, numbers: dict[str, float], seconds: float) -> None:
        if self.run.world.rank == 0:
            tokens = self.run.timeline.first_tokens[step]
            self.sink.record({"step": step, "tokens": tokens, "seconds": round(seconds, 4), **numbers})

    def outcome(self, status: Literal["finished", "diverged", "stopped"], reason: str) -> Outcome:
        done, timeline = self.progress, self.run.timeline
        tokens = timeline.first_tokens[done.step]
        own = tokens - timeline.first_tokens[done.shared_step]
        own_seconds = done.seconds - done.shared_seconds
        skipped = () if self.scale is None else self.scale.notes(done.step)
        return Outcome(
            status,
            done.value if status == "finished" else None,
            done.select if status == "finished" else None,
            reason,
            done.step,
            tokens,
            done.seconds,
            done.compile_seconds,
            own / own_seconds if own_seconds else 0.0,
            peak_memory(self.run.device),
            (*((self.calls.note,) if self.calls.note else ()), *skipped),
        )


def never() -> bool:
    return False


def train(
    run: Run,
    source: TokenSource,
    sink: Sink,
    checkpoint_path: Path,
    stop: Callable[[], bool] = never,
    checkpoint_seconds: float = 60.0,
    until: int | None = None,
    trunk: Path | None = None,
) -> Outcome:
    """Train `run` to its end, to step `until`, or until `stop()` is true between two steps.

    Continues from `checkpoint_path` if it exists, to the same bits as without the break; else begins at the
    checkpoint `trunk` of another run, if one is given. Raises ConfigError for data that does not fit the model,
    RunError for a damaged checkpoint.
    """
    return Trainer(run, source, sink, checkpoint_path, stop, checkpoint_seconds, until, trunk).go()
