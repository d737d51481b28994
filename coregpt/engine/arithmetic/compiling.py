"""The model as one compiled graph per stage, or uncompiled with the reason said."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coregpt.engine.build import Run


@dataclass(frozen=True)
class Callables:
    """What the trainer calls, how long it took to get it, and why it is not compiled if it is not."""

    forward: Callable[..., tuple[Tensor, dict[str, Tensor]]]
    logits: Callable[..., Tensor]
    seconds: float = 0.0
    note: str | None = None


def prepare(run: Run, rows_of: Callable[[int], int], autocast: Callable[[], Any]) -> Callables:
    """Compile every stage of the run before its clock starts; on failure fall back to the plain model.

    `rows_of(step)` gives the rows of a forward pass. Nothing of the warm-up stays: gradients, buffers and
    random state are put back.
    """
    plain = Callables(run.model, run.model.logits)
    if not run.config.compile:
        return plain
    started = time.perf_counter()
    torch._dynamo.reset()
    # One graph per stage is expected; the limit is on surprises.
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    forward = torch.compile(run.model, fullgraph=True, dynamic=False)
    try:
        with untouched(run):
            for step in _first_of_each_stage(run, rows_of):
                run.dials.set(run.timeline.clock(step))
                tokens = torch.ones(rows_of(step), run.timeline.lengths[step], dtype=torch.long, device=run.device)
                starts = torch.arange(len(tokens), device=run.device)
                # Targets of their own: one tensor given twice would be part of the graph's guards.
                with autocast():
                    loss, _ = forward(tokens, tokens.clone(), run.dials.values, starts)
                loss.backward()
    except Exception as error:  # any failure of the compiler means: go on without it, and say so
        seconds = time.perf_counter() - started
        return Callables(plain.forward, plain.logits, seconds, f"not compiled: {_first_line(error)}")
    note = _compile_updates(run) if run.device.type == "cuda" else None
    # On a CPU most of an evaluation is fp32 products, which compiled code would leave to the slower library.
    logits = torch.compile(run.model.logits, dynamic=False) if run.device.type == "cuda" else plain.logits
    return Callables(forward, logits, time.perf_counter() - started, note)


def _compile_updates(run: Run) -> str | None:
    """The updates of stacks as compiled code, where their rules can be; what to say if the compiler fails."""
    try:
        for stack in run.optimizer.stacks:
            stack.compile()
    except Exception as error:  # as above: the run goes on without it
        for stack in run.optimizer.stacks:
            stack.compiled = None
        return f"the optimizer is not compiled: {_first_line(error)}"
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _first_of_each_stage(run: Run, rows_of: Callable[[int], int]) -> list[int]:
    """The first step of every combination of sizes and staged dials."""
    seen: dict[Any, int] = {}
    for step in range(run.timeline.steps):
        staged = run.dials.staged(run.timeline.clock(step))
        seen.setdefault((rows_of(step), run.timeline.lengths[step], staged), step)
    return list(seen.values())


@contextlib.contextmanager
def untouched(run: Run) -> Iterator[None]:
    """Puts gradients, buffers, dials and random state back at the end."""
    buffers = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
    cuda = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in run.model.named_buffers():
                    buffer.copy_(buffers[name])
                for stack in run.optimizer.stacks:
                    stack.grad.zero_()
            run.dials.set(run.timeline.clock(0))
