"""CoreGPT's training step against plain loops of the same model on the same rows, one thread each.

`python -m benchmarks.overhead "coregpt bf16, 4 x 128"` is one side of the comparison; `python -m benchmarks` runs them
all in turns.
"""

import itertools
import sys
from collections.abc import Callable

import torch

from benchmarks.bare import BareGPT, BareLoop
from benchmarks.steps import Stepper
from benchmarks.turns import serve
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.data import RowOrder, open_source

SHAPE = ModelShape(vocab=256, dim=128, depth=4, heads=4, context=256)
ROWS = 16
SHAPES = ((4, 128), (8, 128), (16, 128), (16, 256))
"""Rows of a step and their length. README's study trains the first."""
SIDES = ("plain fp32", "plain bf16", "plain bf16 compiled", *(f"coregpt {kind}" for kind in ("fp32", "bf16")))
SIDES += ("coregpt fp32 compiled", "coregpt bf16 compiled")
"""The first is what everything is compared with."""


def side(name: str, rows: int, context: int) -> Callable[[], object]:
    """One step of the 4-layer, 128-wide byte GPT; CoreGPT with its log and no plugin on."""
    torch.set_num_threads(1)
    who, precision = name.split()[:2]
    shape, tokens = SHAPE.model_copy(update={"context": context}), rows * context
    if who == "coregpt":
        return Stepper(
            RunConfig(
                model=shape,
                tokens=400 * tokens,
                batch_tokens=tokens,
                precision=precision,  # type: ignore[arg-type]
                compile=name.endswith("compiled"),
            )
        )
    model = BareGPT(shape.vocab, shape.dim, shape.depth, shape.heads, context)
    loop = BareLoop(model, precision == "bf16")
    if name.endswith("compiled"):
        loop.model = torch.compile(model)  # type: ignore[assignment]
    order, numbers = RowOrder(open_source("pydocs").train, context, 0), itertools.count(step=rows)
    return lambda: loop.step(*order.rows(next(numbers), rows))


def called(name: str, rows: int, context: int) -> str:
    """What `serve` is told to be: `coregpt bf16, 4 x 128`."""
    return f"{name}, {rows} x {context}"


if __name__ == "__main__":
    name, size = sys.argv[1].split(", ")
    rows, context = map(int, size.split(" x "))
    serve(side(name, rows, context))
