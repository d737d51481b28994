"""What is put before the laws: a plugin in a tiny model, with its tokens, its runs and what is around it."""

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coregpt.contract.config import DataConfig, InputSource, ModelShape, OptimConfig, RunConfig
from coregpt.contract.input import MissingInputError
from coregpt.contract.plugin import Plugin
from coregpt.engine import weights
from coregpt.engine.build import NamedPlugins, Run, build
from coregpt.engine.training.world import World
from coregpt.lab.guard.bound import Bound
from coregpt.lab.guard.opened import listening
from coregpt.lab.laws.surroundings import AROUND, plugins_around
from coregpt.lab.study.registry import Catalogue

SHAPE = ModelShape(vocab=61, dim=32, depth=4, heads=2, context=24)
SEPARATOR = 0
PLAIN: tuple[str, ...] = ()
MASKS = ("window", "documents")
MIXED = (*MASKS, "random")
"""All that leaves sums as they are: results are compared as closely as without."""
BF16 = ("bf16",)
EVERYTHING = AROUND
Asked = dict[str, dict[str, InputSource]]


@cache
def tiny_input() -> InputSource:
    """Weights of a model without techniques, in a file that is there as long as this process is."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = RunConfig(model=SHAPE, seed=1, batch_tokens=SHAPE.context, tokens=SHAPE.context, eval_tokens=SHAPE.context)
    weights.save(folder / "tiny.pt", build(config, []), {"config": config.model_dump(mode="json")})
    return InputSource(file=str(folder / "tiny.pt"))


@cache
def tensors_of(make: Callable[[ModelShape], dict[str, Tensor]]) -> InputSource:
    """A file of the tensors that a plugin has made for the laws' model, there as long as this process is."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    weights.write(folder / "example.pt", weights.Weights(make(SHAPE)))
    return InputSource(file=str(folder / "example.pt"))


class LawError(Exception):
    """A law is broken."""

    def __init__(self, message: str, *, broken: Iterable[str] = (), stop: bool = False):
        super().__init__(message)
        self.broken = frozenset(broken)
        """Surroundings in which the plugin does not work at all, so that other laws are not tested in them."""
        self.stop = stop
        """Nothing works: no other law can be tested."""


class Limit(str):
    """What a law that holds has to tell of a technique: where it must not be used, or what it does not keep."""


@dataclass
class LawCase:
    """A plugin under test, with whatever it requires, and options other than the defaults if given."""

    catalogue: Catalogue
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Other plugins enabled with it."""
    around: frozenset[str] = frozenset()
    """Masks, precision, random numbers: some of AROUND."""
    broken: frozenset[str] = frozenset()
    """Those in which it does not work."""
    ranks: Any = None
    """Two processes that train it already, if somebody has started them."""
    bound: Bound | None = None
    """What all techniques share, as it was before this one was imported."""
    asked: Asked = field(default_factory=dict)
    """What plugins, by their names and options, have been found to ask for."""

    heard: list[str] = field(default_factory=list)
    """Files that were opened while it was imported."""

    @property
    def cls(self) -> type[Plugin]:
        with listening() as heard:
            found = self.catalogue.cls(self.name)
        self.heard.extend(heard)
        return found

    @property
    def files(self) -> tuple[Path, ...]:
        """Plugin files outside any package, which other processes must be told of."""
        return tuple(self.catalogue.files.values())

    def under(self, around: Iterable[str]) -> "LawCase":
        """The same plugin with something around it; what it does not work with is left out."""
        return replace(self, around=frozenset(around) - self.broken)

    def where(self) -> str:
        """` under a window, in bf16`; nothing in the plain model."""
        words = {"window": "under a window", "documents": "under document masks", "bf16": "in bf16"}
        names = [words.get(name, "with random numbers") for name in AROUND if name in self.around]
        if self.around.issuperset(MASKS):
            names[:2] = ["under masks"]
        return f" {', '.join(names)}" if names else ""

    def bare(self) -> dict[str, dict[str, Any]]:
        """Everything but the plugin itself: what it requires and what is beside it, with what that requires."""
        needed = [name for each in (self.name, *self.beside) for name in self.catalogue.cls(each).requires]
        return {**{name: {} for name in needed}, **self.beside}

    def plugins(self, options: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        return {**self.bare(), self.name: self.options if options is None else options}

    def config(self, plugins: dict[str, dict[str, Any]] | None = None, steps: int = 8, **changes: Any) -> RunConfig:
        base: dict[str, Any] = {
            "model": SHAPE,
            "data": DataConfig(source="tiny", document_mask="documents" in self.around),
            "optim": OptimConfig(lr=0.01),
            "plugins": self.plugins() if plugins is None else plugins,
            "batch_tokens": 4 * SHAPE.context,
            "tokens": 4 * SHAPE.context * steps,
            "eval_tokens": 2 * SHAPE.context,
            "evals": 2,
            "precision": "bf16" if "bf16" in self.around else "fp32",
        }
        resolved = RunConfig(**{**base, **changes})
        return resolved.model_copy(update={"inputs": self.inputs(resolved)}) if resolved.plugins else resolved

    def inputs(self, config: RunConfig) -> dict[str, InputSource]:
        """For each input that the plugins ask for, what one of them says it is like, or a tiny untrained model."""
        key = repr(config.plugins)
        if key not in self.asked:
            self.asked[key] = self._inputs(config)
        return self.asked[key]

    def _inputs(self, config: RunConfig) -> dict[str, InputSource]:
        given: dict[str, InputSource] = {}
        while True:
            try:
                build(
                    config.model_copy(update={"inputs": given}),
                    self.catalogue.instances(config.plugins),
                    separator=SEPARATOR,
                )  # not on meta, whose first use imports the compiler: longer than most laws take
            except MissingInputError as missing:
                given[missing.name] = self._example(missing.name, config.plugins)
            except Exception:  # of any kind: `works_in_every_study` builds the same, and tells
                return given
            else:
                return given

    def _example(self, name: str, plugins: Iterable[str]) -> InputSource:
        """What a plugin says that an input of this name is like (`example_inputs`), or a tiny model."""
        for plugin in plugins:
            make = getattr(self.catalogue.cls(plugin), "example_inputs", {}).get(name)
            if make is not None:
                return tensors_of(make)
        return tiny_input()

    def instances(self, config: RunConfig) -> NamedPlugins:
        """The plugins of a run, and those that are around it without being named."""
        return [*self.catalogue.instances(config.plugins), *plugins_around(self.around)]

    def run(self, config: RunConfig, world: World | None = None) -> Run:
        return build(config, self.instances(config), separator=SEPARATOR, world=world)

    def autocast(self) -> Any:
        """The precision of a training pass."""
        return torch.autocast("cpu", torch.bfloat16) if "bf16" in self.around else contextlib.nullcontext()

    def tokens(self, rows: int = 4, seed: int = 0, length: int = SHAPE.context) -> Tensor:
        """(rows, length) random ids; 0 separates documents, which under a document mask each row has three of."""
        tokens = torch.randint(0, SHAPE.vocab, (rows, length), generator=torch.Generator().manual_seed(seed))
        if "documents" in self.around:
            tokens[:, SHAPE.context // 4 :: SHAPE.context // 3] = SEPARATOR
        return tokens

    def stir(self, run: Run) -> None:
        """Move every weight off its initial value, where zeros could hide what a technique does."""
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for param in run.assembly.params.values():
                param.add_(torch.randn(param.shape, generator=generator), alpha=0.1)
