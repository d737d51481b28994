"""What hooks cost: CoreGPT's training step against the bare loop's, same model, same rows, one thread."""

import itertools
import tempfile
from pathlib import Path

import torch

from benchmarks.bare import BareGPT, BareLoop
from benchmarks.measure import Ratio, compare
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.build import build
from coregpt.engine.compiling import prepare
from coregpt.engine.data import open_source
from coregpt.engine.trainer import Trainer, never

SHAPE = ModelShape(vocab=256, dim=128, depth=4, heads=4, context=256)
ROWS = 16


class Forget:
    """A sink that drops what it is told."""

    def record(self, row: object) -> None: ...

    def rewind(self, step: int) -> None: ...


def step_ratio(precision: str, pairs: int = 6) -> Ratio:
    """CoreGPT over bare, at the 4-layer, 128-wide, context-256, batch-16 byte GPT; no plugin on."""
    torch.set_num_threads(1)
    tokens = ROWS * SHAPE.context
    config = RunConfig(model=SHAPE, tokens=400 * tokens, batch_tokens=tokens, precision=precision)  # type: ignore[arg-type]
    run = build(config, [])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(run, open_source("pydocs"), Forget(), Path(folder) / "none.pt", never, 1e9)
        trainer.calls = prepare(run, trainer.pass_rows, trainer.autocast)
        steps = itertools.count()

        def ours() -> None:
            step = next(steps)
            trainer.pending.append((step, 0.0, trainer.train_step(step)))
            trainer.flush()

        bare = BareLoop(BareGPT(SHAPE.vocab, SHAPE.dim, SHAPE.depth, SHAPE.heads, SHAPE.context), precision == "bf16")
        rows = itertools.count(step=ROWS)
        return compare(ours, lambda: bare.step(*trainer.order.rows(next(rows), ROWS)), pairs)
