"""A tiny run of techniques that are classes of a test, with no file and no name in any catalogue."""

from typing import Any

import torch

from coregpt.contract.config import ModelShape, OptimConfig, RunConfig
from coregpt.contract.plugin import Plugin
from coregpt.engine.build import Run, build

SHAPE = ModelShape(vocab=61, dim=32, depth=3, heads=2, context=16)
CONFIG = RunConfig(model=SHAPE, tokens=640, batch_tokens=64, eval_tokens=32, optim=OptimConfig(lr=0.01))
TOKENS = torch.arange(64).view(4, 16) % 61


def made(*plugins: Plugin, **changes: Any) -> Run:
    """Named p0, p1, ... in their order; `changes` replace settings of `CONFIG`."""
    return build(CONFIG.model_copy(update=changes), [(f"p{i}", plugin) for i, plugin in enumerate(plugins)])
