"""A tiny model for every test: sizes all different, so that a swapped dimension cannot hide."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coregpt.contract.config import ModelShape, OptimConfig, RunConfig
from coregpt.engine.build import Run
from coregpt.engine.build import build as engine_build
from coregpt.lab.study.registry import Catalogue

TINY = ModelShape(vocab=61, dim=32, depth=4, heads=2, context=24)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture
def build(catalogue: Catalogue) -> Callable[..., Run]:
    """`build(softcap={"cap": 5})` makes a tiny run with these plugins; `shape`, `config` override the rest."""

    def make(*, shape: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **plugins: Any) -> Run:
        model = ModelShape(**{**TINY.model_dump(), **(shape or {})})
        base: dict[str, Any] = {
            "model": model,
            "optim": OptimConfig(lr=0.01),
            "batch_tokens": 4 * model.context,
            "eval_tokens": 2 * model.context,
            "tokens": 40 * model.context,
            "plugins": plugins,
        }
        resolved = RunConfig(**{**base, **(config or {})})
        return engine_build(resolved, catalogue.instances(resolved.plugins), separator=0)

    return make


@pytest.fixture
def batch() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """`batch(rows, length)` gives random inputs and next-token targets for the tiny vocabulary."""

    def make(rows: int = 4, length: int = TINY.context, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(1, TINY.vocab, (rows, length + 1), generator=generator)
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    return make
