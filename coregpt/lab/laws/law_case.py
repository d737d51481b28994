"""What is put before the laws: a plugin in a tiny model, with its tokens and its runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coregpt.contract.config import DataConfig, ModelShape, OptimConfig, RunConfig
from coregpt.contract.plugin import Plugin
from coregpt.engine.build import Run, build
from coregpt.lab.study.registry import Catalogue

SHAPE = ModelShape(vocab=61, dim=32, depth=4, heads=2, context=24)


class LawError(Exception):
    """A law is broken."""


@dataclass
class LawCase:
    """A plugin under test, with whatever it requires, and options other than the defaults if given."""

    catalogue: Catalogue
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def cls(self) -> type[Plugin]:
        return self.catalogue.cls(self.name)

    @property
    def files(self) -> tuple[Path, ...]:
        """Plugin files outside any package, which other processes must be told of."""
        return tuple(self.catalogue.files.values())

    def plugins(self, options: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        return {**{name: {} for name in self.cls.requires}, self.name: self.options if options is None else options}

    def config(self, plugins: dict[str, dict[str, Any]] | None = None, steps: int = 8, **changes: Any) -> RunConfig:
        base: dict[str, Any] = {
            "model": SHAPE,
            "data": DataConfig(source="tiny"),
            "optim": OptimConfig(lr=0.01),
            "plugins": self.plugins() if plugins is None else plugins,
            "batch_tokens": 4 * SHAPE.context,
            "tokens": 4 * SHAPE.context * steps,
            "eval_tokens": 2 * SHAPE.context,
            "evals": 2,
        }
        return RunConfig(**{**base, **changes})

    def run(self, config: RunConfig) -> Run:
        return build(config, self.catalogue.instances(config.plugins), separator=0)

    def tokens(self, rows: int = 4, seed: int = 0) -> Tensor:
        """(rows, context) random ids; 0 separates documents."""
        return torch.randint(0, SHAPE.vocab, (rows, SHAPE.context), generator=torch.Generator().manual_seed(seed))

    def stir(self, run: Run) -> None:
        """Move every weight off its initial value, where zeros could hide what a technique does."""
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for param in run.assembly.params.values():
                param.add_(torch.randn(param.shape, generator=generator), alpha=0.1)
