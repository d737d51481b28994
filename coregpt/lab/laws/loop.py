"""The trainer's own steps on what the laws choose, and whole short runs."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coregpt.contract.config import RunConfig
from coregpt.engine.build import Run
from coregpt.engine.training.trainer import Trainer, never, train
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.laws.tools import Rows, tiny_source


@dataclass
class OneBatch:
    """An order of rows in which the same few come again and again."""

    tokens: Tensor
    """(rows, context + 1)"""

    def rows(self, first: int, number: int) -> tuple[Tensor, Tensor]:
        rows = self.tokens[torch.arange(number) % len(self.tokens)]
        return rows[:, :-1], rows[:, 1:]


def steps_on_one_batch(run: Run, case: LawCase) -> Trainer:
    """Ready for `train_step(n)`; no step is evaluated or saved."""
    trainer = Trainer(run, tiny_source(), Rows(), Path(), never, 60.0)
    batch: Any = OneBatch(case.tokens(length=run.config.model.context + 1))
    trainer.train_step.order = batch
    trainer.train_step.prepare()
    return trainer


def trained(case: LawCase, config: RunConfig) -> tuple[dict[str, Tensor], float | None]:
    """Weights and loss at the end of a short run."""
    return finish(case.run(config))


def finish(run: Run) -> tuple[dict[str, Tensor], float | None]:
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(run, tiny_source(), Rows(), Path(folder) / "checkpoint.pt")
    return weights(run), outcome.value


def weights(run: Run) -> dict[str, Tensor]:
    return {name: param.detach().clone() for name, param in run.assembly.params.items()}


def train_tiny(case: LawCase, config: RunConfig) -> dict[str, Tensor]:
    return trained(case, config)[0]


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> tuple[float, str]:
    """The largest difference between two sets of weights, and whose it is."""
    return max(((value - other[path]).abs().max().item(), path) for path, value in one.items())
