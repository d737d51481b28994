"""What the laws need: a tiny source, a log in memory, a graph-counting compiler, a count of executed products."""

import math
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from coregpt.engine.data import TokenSource, TokenStream


def tiny_source(vocab: int = 61) -> TokenSource:
    """A few thousand tokens with some order in them, in memory that no other source shares."""
    array = np.array(_tokens(vocab), dtype=np.uint16)
    train, select, held_out = (TokenStream([part]) for part in (array[:5000], array[5000:5500], array[5500:]))
    return TokenSource("tiny", "token", vocab, train, select, held_out, separator=0, digest="tiny")


@cache
def _tokens(vocab: int) -> tuple[int, ...]:
    """Each follows from the one before, or jumps."""
    random = np.random.default_rng(0)
    tokens = [1]
    for jump in random.random(6000):
        tokens.append((tokens[-1] * 5 + 3) % vocab if jump < 0.8 else int(random.integers(vocab)))
    return tuple(tokens)


class Rows:
    """A sink that keeps rows in memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float | int]] = []

    def record(self, row: dict[str, float | int]) -> None:
        self.rows.append(row)

    def rewind(self, step: int) -> None:
        self.rows = [row for row in self.rows if row["step"] <= step]

    def without_times(self) -> list[dict[str, float | int]]:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in self.rows]


def stop_after(steps: int) -> Callable[[], bool]:
    """A `stop` that says yes at the n-th time it is asked, once per step."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= steps

    return stop


def counting_backend(model: nn.Module, inner: str = "aot_eager") -> tuple[Any, list[torch.fx.GraphModule]]:
    """The model compiled whole by a backend that counts graphs; `inner` runs them.

    `eager` is quick, `aot_eager` also traces the backward pass.
    """
    from torch._dynamo.backends import debugging

    graphs: list[torch.fx.GraphModule] = []
    run = {"eager": debugging.eager, "aot_eager": debugging.aot_eager}[inner]

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        graphs.append(graph)
        return run(graph, inputs)

    torch._dynamo.reset()
    return torch.compile(model, fullgraph=True, dynamic=False, backend=backend), graphs


def executed_flops(step: Callable[[], object]) -> int:
    """FLOPs of the matrix products one CPU call really executes, two per multiply-add, from the shapes the
    profiler sees: also inside a plugin's own operators, whatever these claim to cost.

    A product that another one is made of counts once: some processors' batched ones in bf16 are single ones inside.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler tells standard error that it started and stopped
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        step()
    return sum(_products(event.name, event.input_shapes) for event in seen.events() if not _within_a_product(event))


def _within_a_product(event: Any) -> bool:
    parent = event.cpu_parent
    while parent is not None and not _products(parent.name, parent.input_shapes):
        parent = parent.cpu_parent
    return parent is not None


def _products(name: str, shapes: list[list[int]]) -> int:
    if name in ("aten::mm", "aten::bmm"):
        return 2 * math.prod(shapes[0]) * shapes[1][-1]
    if name.rstrip("_") in ("aten::addmm", "aten::baddbmm"):
        return 2 * math.prod(shapes[1]) * shapes[2][-1]
    if name.startswith("aten::_scaled_dot_product_flash_attention_for_cpu"):
        backward = "backward" in name
        q, k = (shapes[1], shapes[2]) if backward else (shapes[0], shapes[1])
        # B H T D x T multiply-adds a product: two products forward, four backward.
        return 2 * math.prod(q) * k[-2] * (4 if backward else 2)
    return 0
