"""A small model whose rows are whole FlexAttention blocks, on any device."""

from functools import cache
from typing import Any

from coregpt.contract.config import ModelShape, OptimConfig, RunConfig
from coregpt.engine.build import Run, build
from coregpt.lab.laws.law_case import SEPARATOR, LawCase
from coregpt.lab.study.registry import Catalogue

SHAPE = ModelShape(vocab=61, dim=64, depth=4, heads=4, context=128)


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
