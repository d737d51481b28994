"""How much memory a run will need, before it is started: an estimate from one forward pass that allocates nothing."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves

from coregpt.contract.config import RunConfig
from coregpt.engine.arithmetic.chunked import CHUNK
from coregpt.engine.arithmetic.scaling import autocast
from coregpt.engine.attention.unkept import keeping_no_scores
from coregpt.engine.build import NamedPlugins, Run, build
from coregpt.engine.inputs import Given

PROCESS_BYTES = 250 << 20
"""Python and torch, imported, on CPU; on CUDA only what the allocator gives out is counted."""
HEAP_HOLES = 0.75
"""Bytes of a CPU's heap that lie unused, per byte of activations: a step frees and takes tensors of many sizes, and
the heap keeps what does not fit. Between fp32, which leaves more, and bf16; tests hold the sum to 30% of real runs."""
UPDATE_COPIES = 4
"""Temporaries of an update, in copies of the largest stack: direction, decay and what leads to them."""

CHUNK_COPIES = 4
"""Temporaries of a chunk of logits, in copies in fp32: logits, what they become, probabilities, their gradient."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank of a run that is trained alone; compiled graphs mostly need less."""

    process: int
    weights: int
    """Parameters and buffers, also of models that the run is given."""
    gradients: int
    optimizer: int
    """State of the update rules, and of what lives beside the model."""
    activations: int
    """What one forward pass keeps for the backward pass. On CUDA without attention's scores, which no kernel keeps
    there; nothing of that was measured on a GPU."""
    working: int
    """The largest temporary, of the backward pass or of an update, beyond what is kept anyway; and the heap's holes."""
    rows: int
    """Rows of `context` tokens in that forward pass."""

    @property
    def lasting(self) -> int:
        """What is there all the time."""
        return self.process + self.weights + self.gradients + self.optimizer

    @property
    def peak(self) -> int:
        return self.lasting + self.activations + self.working


def estimate(config: RunConfig, plugins: NamedPlugins, inputs: Given | None = None, ranks: int = 1) -> Memory:
    """Traces one forward pass of a rank's share on shapes alone: of each batch and sequence length, the largest."""
    hollow = {name: stored.hollow() for name, stored in (inputs or {}).items()}
    as_there = nullcontext() if config.device == "cpu" else keeping_no_scores()
    with quiet("torch._subclasses.fake_tensor"), FakeTensorMode(), as_there:
        run = build(config.model_copy(update={"device": "cpu"}), plugins, inputs=hollow, separator=0)
        weights, gradients, states = (_bytes(tensors) for tensors in _lasting(run))
        kept, rows, passing = max((_saved(run, step, ranks) for step in _sizes(run)), key=lambda found: sum(found[0]))
    largest_stack = max(stack.data.nbytes for stack in run.optimizer.stacks)
    activations, gradient = sum(kept), max(kept, default=0)
    process, holes = (PROCESS_BYTES, int(HEAP_HOLES * activations)) if config.device == "cpu" else (0, 0)
    return Memory(
        process,
        weights,
        gradients,
        states // ranks,
        activations,
        max(gradient, passing, UPDATE_COPIES * largest_stack // ranks - activations) + holes,
        rows,
    )


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Without what torch logs, a page, before it raises the same: whoever catches the error tells it in a line."""
    log = logging.getLogger(name)
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def fitting_rows(memory: Memory, room: int) -> int | None:
    """The most rows per forward pass, halving, whose peak stays within `room` bytes; None if one row is too much."""
    rows = memory.rows
    while rows and memory.lasting + (memory.activations + memory.working) * rows / memory.rows > room:
        rows //= 2
    return rows or None


def room(device: str) -> int:
    """Bytes of the GPU, or of the machine; 0 where nobody says."""
    if device == "cuda":
        return torch.cuda.get_device_properties(0).total_memory
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _lasting(run: Run) -> Iterator[list[Tensor]]:
    """Weights, gradients, and states."""
    stacks = run.optimizer.stacks
    given = [tensor for each in run.inputs.asked.values() for tensor in each.held()]
    yield [*(stack.data for stack in stacks), *run.model.buffers(), *given]
    yield [stack.grad for stack in stacks]
    beside = [companion.state_dict() for companion in run.companions]
    yield [leaf for leaf in tree_leaves([[stack.state for stack in stacks], beside]) if isinstance(leaf, Tensor)]


def _sizes(run: Run) -> list[int]:
    """One step of every size of batch and sequence."""
    line = run.timeline
    last = {(line.rows(step), line.lengths[step]): step for step in range(line.steps)}
    return list(last.values())


def _saved(run: Run, step: int, ranks: int) -> tuple[list[int], int, int]:
    """Bytes of every storage that a forward pass of the step keeps for the backward pass and that no parameter owns;
    the rows in it; and the bytes of logits that pass through it in chunks."""
    share = max(1, run.timeline.rows(step) // ranks)
    rows = min(run.config.micro_rows or share, share)
    run.dials.set(run.timeline.clock(step))
    own = {stack.data.untyped_storage()._cdata for stack in run.optimizer.stacks}
    own |= {buffer.untyped_storage()._cdata for buffer in run.model.buffers()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own:
            kept[storage] = tensor
        return tensor

    tokens = torch.zeros(rows * run.timeline.sequences(step), run.timeline.lengths[step], dtype=torch.long)
    with autocast("cpu", run.config.precision), saved_tensors_hooks(keep, lambda tensor: tensor):
        run.model(tokens, tokens, run.dials.values)
    passing = CHUNK_COPIES * 4 * CHUNK if run.model.in_chunks(tokens) else 0
    return [tensor.untyped_storage().nbytes() for tensor in kept.values()], rows, passing


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)
