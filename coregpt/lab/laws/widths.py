"""What a technique does as a model grows wider: do activations grow with it, does the best learning rate move?

Where the parametrisation is right for width, both stay: one rate, found on a narrow model, holds for a wide one.
Toy models on one processor show the direction; how far it carries only wide models show.

Source: Yang et al. 2022, arXiv:2203.03466 (coordinate check, appendix D.1; transfer of learning rates, section 4).
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coregpt.contract.config import DataConfig, ModelShape, OptimConfig
from coregpt.contract.errors import ConfigError
from coregpt.engine.build import Run
from coregpt.engine.data import TokenSource
from coregpt.engine.training.trainer import Trainer, never
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.laws.loop import OneBatch
from coregpt.lab.laws.tools import Rows, tiny_source

Plugins = dict[str, dict[str, Any]]
Values = dict[str, tuple[float, ...]]
"""By place in the model, a number for each width."""

HEAD, DEPTH, CONTEXT, ROWS = 16, 2, 64, 8
"""Of every model: width of a head, of which a wider model has more; layers; tokens of a row; rows of a batch."""
VOCAB = 61
LAST = 0.1
"""The share of a run's steps whose mean training loss is its score."""
GROWS = 0.15
"""A slope from here on is growth: activations of a plain model have about 0.5 to 1."""


@dataclass(frozen=True)
class Coordinates:
    """Mean absolute activations after some steps on one batch of random tokens."""

    widths: tuple[int, ...]
    sizes: Values

    def slopes(self) -> dict[str, float]:
        """By place: the power of the width with which they grow; those that are nothing anywhere are left out."""
        return {place: slope(self.widths, sizes) for place, sizes in self.sizes.items() if min(sizes) > 0}


@dataclass(frozen=True)
class Sweep:
    """Training losses at the end of short runs, by width in the order of the rates; nothing learned where diverged."""

    rates: tuple[float, ...]
    losses: dict[int, tuple[float, ...]]
    nothing: float
    """What knowing nothing costs, in nats."""

    def best(self) -> dict[int, float]:
        """By width the rate with the lowest loss, the smallest of equal ones."""
        return {width: self.rates[min(range(len(each)), key=each.__getitem__)] for width, each in self.losses.items()}

    def moved(self) -> float:
        """Octaves by which the best rate of the widest model lies above that of the narrowest."""
        best = self.best()
        return math.log2(best[max(best)] / best[min(best)])


def slope(widths: Sequence[int], sizes: Sequence[float]) -> float:
    """Of log size on log width, by least squares."""
    x, y = np.log(widths), np.log(sizes)
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def refuse_widths(widths: Sequence[int]) -> None:
    """Raises ConfigError for fewer than two, or such that heads of one width do not fill."""
    rising = all(low < high for low, high in itertools.pairwise(widths))
    if len(widths) < 2 or not rising or any(width < HEAD or width % HEAD for width in widths):
        raise ConfigError(f"--widths: expected two or more rising multiples of {HEAD}, the width of a head")


def coordinates(case: LawCase, plugins: Plugins, widths: Sequence[int], rate: float, steps: int) -> Coordinates:
    """Train a model of each width for a few steps on one batch, and look at what flows through it then."""
    found = [_sizes(case, plugins, width, rate, steps) for width in widths]
    places = [place for place in found[0] if all(place in each for each in found)]
    sizes = {place: tuple(each[place] for each in found) for place in places}
    return Coordinates(tuple(widths), dict(_without_repetitions(sizes)))


def _without_repetitions(sizes: Values) -> Iterator[tuple[str, tuple[float, ...]]]:
    """What only hands on is no place of its own."""
    seen = set[tuple[float, ...]]()
    for place, own in sizes.items():
        if own not in seen:
            seen.add(own)
            yield place, own


def _sizes(case: LawCase, plugins: Plugins, width: int, rate: float, steps: int) -> dict[str, float]:
    run = _run(case, plugins, tiny_source(VOCAB), width, rate, steps)
    batch = torch.randint(1, VOCAB, (ROWS, CONTEXT + 1), generator=torch.Generator().manual_seed(0))
    order: Any = OneBatch(batch)
    for _ in _losses(run, tiny_source(VOCAB), steps, order):
        pass
    return sizes_of(run.model, lambda: run.model.logits(batch[:, :-1], run.dials.values))


@torch.no_grad()
def sizes_of(model: nn.Module, forward: Callable[[], object]) -> dict[str, float]:
    """Mean absolute output of every part that gives a tensor, layers taken together."""
    found: dict[str, list[float]] = {}

    def look(place: str) -> Callable[..., None]:
        def hear(module: nn.Module, given: object, output: object) -> None:
            if isinstance(output, Tensor) and output.is_floating_point():
                found.setdefault(place, []).append(float(output.abs().mean()))

        return hear

    hooks = [part.register_forward_hook(look(_place(path))) for path, part in model.named_modules() if path]
    model.eval()
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()
    return {place: sum(each) / len(each) for place, each in found.items()}


def _place(path: str) -> str:
    """`blocks.*.mlp` for `stack.blocks.3.mlp`."""
    return re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", path.removeprefix("stack."))


def sweep(
    case: LawCase, plugins: Plugins, source: TokenSource, widths: Sequence[int], rates: Sequence[float], steps: int
) -> Sweep:
    """Train a model of each width at each rate, on the same rows with the same seed."""
    nothing = math.log(source.vocab)
    losses = {
        width: tuple(_score(case, plugins, source, width, rate, steps, nothing) for rate in rates) for width in widths
    }
    return Sweep(tuple(rates), losses, nothing)


def _score(
    case: LawCase, plugins: Plugins, source: TokenSource, width: int, rate: float, steps: int, nothing: float
) -> float:
    run = _run(case, plugins, source, width, rate, steps)
    losses = list(_losses(run, source, steps))
    mean = float(np.mean(losses[-max(1, round(LAST * steps)) :]))
    return min(mean, nothing) if math.isfinite(mean) else nothing


def _run(case: LawCase, plugins: Plugins, source: TokenSource, width: int, rate: float, steps: int) -> Run:
    shape = ModelShape(vocab=source.vocab, dim=width, depth=DEPTH, heads=width // HEAD, context=CONTEXT)
    sizes: Mapping[str, int] = {"batch_tokens": ROWS * CONTEXT, "tokens": ROWS * CONTEXT * steps}
    optim, data = OptimConfig(lr=rate, weight_decay=0.0), DataConfig(source=source.name)
    return case.run(case.config(plugins, model=shape, optim=optim, data=data, eval_tokens=CONTEXT, evals=1, **sizes))


def _losses(run: Run, source: TokenSource, steps: int, order: Any = None) -> Iterator[float]:
    """The training loss of every step; no step is evaluated or saved."""
    trainer = Trainer(run, source, Rows(), Path(), never, 60.0)
    step = trainer.train_step
    if order is not None:
        step.order = order
    try:
        step.prepare()
        run.model.train()
        for number in range(steps):
            yield float(step(number)[0])
    finally:
        step.ahead.close()
