"""The loop. It knows steps, gradients and the clock, and nothing about any technique."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from coregpt.contract.context import RESERVED
from coregpt.contract.errors import ConfigError, PluginError
from coregpt.engine.arithmetic.platform import peak_memory
from coregpt.engine.arithmetic.scaling import LossScale
from coregpt.engine.build import Run
from coregpt.engine.data import TokenSource, judged_rows, row_order
from coregpt.engine.training import checkpoint
from coregpt.engine.training.evaluate import counting, evaluate
from coregpt.engine.training.outcome import HELD_OUT, SELECT, Outcome, Progress, Sink
from coregpt.engine.training.step import TrainingStep

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

    def __post_init__(self) -> None:
        config, timeline = self.run.config, self.run.timeline
        if self.source.vocab > config.model.vocab:
            raise ConfigError(
                f"model.vocab is {config.model.vocab}, but {self.source.name} has ids up to {self.source.vocab - 1}"
            )
        order = row_order(self.source, config, timeline.first_rows[-1])
        self.train_step = TrainingStep(self.run, order)
        self.eval_data = {
            name: judged_rows(self.source, stream, config, called)
            for name, stream, called in (
                (SELECT, self.source.select, "select"),
                (HELD_OUT, self.source.held_out, "held_out"),
            )
            if name == SELECT or not self.source.withheld
        }
        spaced = {round(i * timeline.steps / config.evals) for i in range(config.evals + 1)}
        self.eval_steps = spaced | {timeline.steps}
        self.started = time.perf_counter()

    def go(self) -> Outcome:
        try:
            return self.to_the_end()
        finally:
            self.train_step.ahead.close()

    def to_the_end(self) -> Outcome:
        steps = self.run.timeline.steps
        pause = steps if self.until is None else min(self.until, steps)
        self.begin()
        saved = time.perf_counter()
        if pause <= self.progress.step < steps:
            return self.stopped()
        while self.progress.step < steps:
            ended = self.one_step()
            if ended is not None:
                return ended
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

    def begin(self) -> None:
        """From a checkpoint, from the trunk of another run, or from the first step, whose loss is measured."""
        run = self.run
        torch.manual_seed(run.config.seed)
        self.calls = self.train_step.prepare()
        if self.path.exists():
            self.progress = Progress(**checkpoint.load(self.path, run))
        elif self.trunk is not None:
            shared = Progress(**checkpoint.branch(self.trunk, run))
            self.progress = replace(shared, shared_step=shared.step, shared_seconds=shared.seconds)
            self.progress.compile_seconds = self.calls.seconds
        else:
            self.progress.compile_seconds = self.calls.seconds
            self.sink.rewind(-1)
            self.measure(0)
        if self.progress.step:
            self.sink.rewind(self.progress.step)
        if self.train_step.scale is not None and self.progress.scaling:
            self.train_step.scale = LossScale(**self.progress.scaling)
        run.model.train()

    def one_step(self) -> Outcome | None:
        """Train, write what is due, evaluate where that is due; how the run ended, if it did."""
        begun = time.perf_counter()
        scalars = self.train_step(self.progress.step)
        self.progress.step += 1
        self.pending.append((self.progress.step, self.progress.seconds, scalars))
        scale = self.train_step.scale
        if scale is not None and scale.failed:
            self.flush()
            return self.outcome("diverged", f"gradients are not finite at step {self.progress.step}, even unscaled")
        evaluating = self.progress.step in self.eval_steps
        if evaluating or len(self.pending) >= FLUSH[self.run.device.type]:
            bad = self.flush()
            if bad is not None:
                return self.diverged("training", bad)
        self.progress.seconds += time.perf_counter() - begun
        if evaluating:  # one on the way only looks: how often it is looked at decides nothing
            finite, last = self.measure(self.progress.step), self.progress.step == self.run.timeline.steps
            return self.diverged("evaluation", self.progress.step) if last and not finite else None
        return None

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
        if self.train_step.scale is not None:
            self.progress.scaling = self.train_step.scale.state()
        checkpoint.save(self.path, self.run, vars(self.progress))

    def flush(self) -> int | None:
        """Write pending losses; returns the first step whose loss is not finite."""
        if not self.pending:
            return None
        values = torch.stack([scalars for _, _, scalars in self.pending])
        values = self.run.world.all_reduce(values) / self.run.world.size
        bad = None
        for (step, seconds, _), row in zip(self.pending, values.tolist(), strict=True):
            self.record(step, dict(zip(self.train_step.names, row, strict=True)), seconds)
            if bad is None and not math.isfinite(row[0]):
                bad = step
        self.pending.clear()
        return bad

    def measure(self, step: int) -> bool:
        """Evaluate and record; False when a loss is not finite. `held_out` is left alone where nobody may read it, and
        where it was withheld."""
        run = self.run
        both = not self.source.withheld and (step == run.timeline.steps or run.config.held_out_curve)
        with contextlib.ExitStack() as stack:
            for companion in run.companions:
                stack.enter_context(companion.evaluating())
            losses = {name: self.loss(*self.eval_data[name]) for name in ((SELECT, HELD_OUT) if both else (SELECT,))}
        scale = self.train_step.scale
        own = losses if scale is None else {**losses, **scale.metrics()}
        self.record(step, {**own, **self.metrics_of_companions(own)}, self.progress.seconds)
        self.progress.select, self.progress.value = losses[SELECT], losses.get(HELD_OUT)
        return all(math.isfinite(loss) for loss in losses.values())

    def metrics_of_companions(self, own: dict[str, float]) -> dict[str, float]:
        """PluginError for a name under which core logs something."""
        found: dict[str, float] = {}
        for owner, companion in zip(self.run.owners, self.run.companions, strict=True):
            new = companion.metrics()
            for name in new.keys() & (RESERVED | own.keys() | found.keys()):
                raise PluginError(f"plugin '{owner}': metrics() uses the name '{name}', which is taken; use another")
            found |= new
        return found

    def loss(self, inputs: Tensor, targets: Tensor) -> float:
        """Mean over rows (N, T) that all ranks share, in nats per token."""
        run = self.run
        share = -(-len(inputs) // run.world.size)
        mine = slice(run.world.rank * share, (run.world.rank + 1) * share)
        rows = max(1, EVAL_TOKENS[run.device.type] // run.config.model.context)
        total = torch.zeros((), dtype=torch.float64, device=run.device)
        if len(inputs[mine]):
            found = evaluate(run.model, self.calls.logits, inputs[mine], targets[mine], run.dials.values, rows)
            total += found * (counting(targets[mine]) / counting(targets))
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
        skipped = () if self.train_step.scale is None else self.train_step.scale.notes(done.step)
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
