"""One training step: rows, forward, backward, update. It knows gradients, and neither evaluations nor seconds."""

from typing import Any

import torch
from torch import Tensor

from coregpt.contract.companion import Companion
from coregpt.contract.errors import ConfigError
from coregpt.contract.rules import Clock
from coregpt.engine.arithmetic.compiling import Callables, prepare
from coregpt.engine.arithmetic.ends import accumulating
from coregpt.engine.arithmetic.scaling import LossScale, autocast
from coregpt.engine.build import Run
from coregpt.engine.data import Ahead, Order
from coregpt.engine.training.timeline import cut

MicroBatch = tuple[Tensor, Tensor, Tensor]

GRAD_NORM = "grad_norm"
"""Norm of all gradients together before clipping, in the log of every step; 0 where fp16 skipped the step."""


class TrainingStep:
    """One rank's part of every step of a run. `prepare` comes first."""

    calls: Callables

    def __init__(self, run: Run, order: Order):
        self.run, self.order = run, order
        self.scale = LossScale() if run.config.precision == "fp16" else None
        on_cuda = run.device.type == "cuda"
        self.ahead = Ahead(wanted=on_cuda, pinned=on_cuda)
        self.names: list[str] = []

    def prepare(self) -> Callables:
        """Compile the model where the run wants that; see `coregpt.engine.arithmetic.compiling.prepare`."""
        self.calls = prepare(self.run, self.pass_rows, self.autocast)
        return self.calls

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

    def __call__(self, step: int) -> Tensor:
        """Forward, backward, update; the step's logged scalars as one vector, named by `names`."""
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
            self.names = self.names or [*scalars, GRAD_NORM]
            values = torch.stack([value.float() for value in scalars.values()]) / len(batch)
            logged = values if logged is None else logged + values
        run.optimizer.reduce()
        finite = self.unscaled()
        for companion in run.companions:
            if finite and companion.wants_pass(clock):
                finite = self.second_pass(companion, clock, batch)
        norm = self.update(clock, finite)
        assert logged is not None
        return torch.cat((logged, norm.float().view(1)))

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

    def update(self, clock: Clock, finite: bool) -> Tensor:
        """Move the parameters, or skip the step and forget the gradients; their norm (0-d), 0 in a skipped step."""
        run = self.run
        if self.scale is not None:
            self.scale.update(finite)
        if not finite:
            run.optimizer.clear()
            return torch.zeros((), device=run.device)
        for companion in run.companions:
            companion.before_update(clock)
        norm = run.optimizer.step(run.dials.lr_factor, run.dials.values)
        with torch.no_grad():
            for companion in run.companions:
                companion.after_update(clock)
        return norm
