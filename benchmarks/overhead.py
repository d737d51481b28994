"""CoreGPT's training step against plain loops of the same model on the same rows, one thread each.

`python -m benchmarks.overhead NAME` is one side of the comparison; `python -m benchmarks` runs them all in turns.
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
SIDES = ("plain fp32", "plain bf16", "plain bf16 compiled", "coregpt fp32", "coregpt bf16", "coregpt bf16 compiled")
"""The first is what everything is compared with."""


def side(name: str) -> Callable[[], object]:
    """One step of the 4-layer, 128-wide, context-256, batch-16 byte GPT; CoreGPT with its log and no plugin on."""
    torch.set_num_threads(1)
    who, precision = name.split()[:2]
    tokens = ROWS * SHAPE.context
    if who == "coregpt":
        return Stepper(
            RunConfig(
                model=SHAPE,
                tokens=400 * tokens,
                batch_tokens=tokens,
                precision=precision,  # type: ignore[arg-type]
                compile=name.endswith("compiled"),
            )
        )
    model = BareGPT(SHAPE.vocab, SHAPE.dim, SHAPE.depth, SHAPE.heads, SHAPE.context)
    loop = BareLoop(model, precision == "bf16")
    if name.endswith("compiled"):
        loop.model = torch.compile(model)  # type: ignore[assignment]
    order, rows = RowOrder(open_source("pydocs").train, SHAPE.context, 0), itertools.count(step=ROWS)
    return lambda: loop.step(*order.rows(next(rows), ROWS))


if __name__ == "__main__":
    serve(side(sys.argv[1]))
