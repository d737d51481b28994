"""What is put before the laws: a plugin in a tiny model, with its tokens and its runs."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coregpt.contract.config import DataConfig, InputSource, ModelShape, OptimConfig, RunConfig
from coregpt.contract.input import MissingInputError
from coregpt.contract.plugin import Plugin
from coregpt.engine import weights
from coregpt.engine.build import Run, build
from coregpt.lab.study.registry import Catalogue

SHAPE = ModelShape(vocab=61, dim=32, depth=4, heads=2, context=24)


@cache
def tiny_input() -> InputSource:
    """Weights of a model without techniques, in a file that is there as long as this process is."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = RunConfig(model=SHAPE, seed=1, batch_tokens=SHAPE.context, tokens=SHAPE.context, eval_tokens=SHAPE.context)
    weights.save(folder / "tiny.pt", build(config, []), {"config": config.model_dump(mode="json")})
    return InputSource(file=str(folder / "tiny.pt"))


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
        resolved = RunConfig(**{**base, **changes})
        return resolved.model_copy(update={"inputs": self.inputs(resolved)}) if resolved.plugins else resolved

    def inputs(self, config: RunConfig) -> dict[str, InputSource]:
        """For each input that the plugins ask for, a tiny untrained model."""
        given: dict[str, InputSource] = {}
        while True:
            try:
                build(
                    config.model_copy(update={"inputs": given}),
                    self.catalogue.instances(config.plugins),
                    separator=0,
                    device="meta",
                )
            except MissingInputError as missing:
                given[missing.name] = tiny_input()
            except Exception:  # what else is wrong is found, and told, by a law
                return given
            else:
                return given

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
