"""A small model whose rows are whole FlexAttention blocks, on any device."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from coregpt.contract.config import ModelShape, OptimConfig, RunConfig
from coregpt.engine.build import Run, build
from coregpt.engine.training.trainer import Trainer, never
from coregpt.lab.laws.law_case import SEPARATOR, LawCase
from coregpt.lab.laws.tools import Rows, tiny_source
from coregpt.lab.study.registry import Catalogue

SHAPE = ModelShape(vocab=61, dim=64, depth=4, heads=4, context=128)
DRY = bool(os.environ.get("COREGPT_GPU_DRY"))


def some(names: Iterable[Any], *few: Any) -> list[Any]:
    """All of them; in a dry run `few`, which is enough to see that a test works."""
    everything = list(names)
    assert set(few) <= set(everything)
    return list(few) if DRY else everything


@cache
def catalogue() -> Catalogue:
    return Catalogue()


def case() -> LawCase:
    """What chooses tokens."""
    return LawCase(catalogue(), "rope")


def config(*, depth: int = SHAPE.depth, steps: int = 8, **plugins: Any) -> RunConfig:
    shape = SHAPE.model_copy(update={"depth": depth})
    batch = 4 * shape.context
    made = RunConfig(
        model=shape,
        optim=OptimConfig(lr=0.01),
        plugins=plugins,
        batch_tokens=batch,
        tokens=steps * batch,
        eval_tokens=2 * shape.context,
        evals=2,
    )
    inputs = case().inputs(made)
    return made.model_copy(update={"inputs": inputs}) if inputs else made


def on(device: str, made: RunConfig) -> Run:
    made = made.model_copy(update={"device": device})
    return build(made, catalogue().instances(made.plugins), separator=SEPARATOR)


def ready(run: Run) -> Trainer:
    """For `train_step(n)` on rows as every run reads them: other strides would be another graph."""
    trainer = Trainer(run, tiny_source(), Rows(), Path("never written"), never, 60.0)
    trainer.calls = trainer.train_step.prepare()
    return trainer
