"""A recipe as this repository builds it: at full size without memory, and its first values with a small vocabulary."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from coregpt.contract.rules import Clock
from coregpt.engine.accounting import Cost, count
from coregpt.engine.build import NamedPlugins, Run, build
from coregpt.engine.training.optimizer import Stack
from coregpt.lab.planning.load import load
from coregpt.lab.study.declaration import Study

FOLDER = Path(__file__).parent.parent.parent / "ablations" / "recipes"
SMALL_VOCAB = 128
"""Rows of the embedding whose first values are looked at: enough for a standard deviation, small enough for a test."""


@dataclass(frozen=True)
class Part:
    """One parameter, with what moves it."""

    path: str
    shape: tuple[int, ...]
    role: str
    writes: bool
    lr: float
    weight_decay: float
    rule: object

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Recipe:
    """The arm `all` of `ablations/recipes/NAME.yaml` at one scale."""

    def __init__(self, name: str, scale: str):
        self.study: Study = load(FOLDER / f"{name}.yaml", scale)
        self.arm = next(arm for arm in self.study.arms if arm.name == "all")
        self.config = self.arm.run

    @property
    def plugins(self) -> dict[str, dict[str, Any]]:
        return self.config.plugins

    @property
    def instances(self) -> NamedPlugins:
        return self.study.catalogue.instances(self.plugins)

    @cached_property
    def run(self) -> Run:
        return build(self.config, self.instances, device="meta", separator=0)

    @cached_property
    def cost(self) -> Cost:
        return count(self.config, self.instances)

    @cached_property
    def parts(self) -> list[Part]:
        made = self.run.assembly
        moved: dict[str, Stack] = {path: stack for stack in self.run.optimizer.stacks for path in stack.paths}
        found = []
        for path, info in made.infos.items():
            rule, own = moved[path].rule, made.rules[path]
            lr, decay = rule.lr * own.lr, rule.weight_decay * own.weight_decay
            found.append(Part(path, info.shape, info.role, info.writes, lr, decay, rule))
        return found

    @cached_property
    def first(self) -> Run:
        """With its first values: one row of a short context, few words, everything else at full size."""
        model = self.config.model.model_copy(update={"vocab": SMALL_VOCAB})
        return build(self.config.model_copy(update={"model": model}), self.instances, device="cpu", separator=0)

    def factor(self, step: int) -> float:
        """What multiplies every learning rate in a step."""
        return float(self.run.dials.schedules["lr"](self.clock(step)))  # type: ignore[operator]

    def dial(self, name: str, step: int) -> float:
        return float(self.run.dials.schedules[name](self.clock(step)))  # type: ignore[operator]

    def clock(self, step: int) -> Clock:
        return self.run.timeline.clock(step)

    @property
    def steps(self) -> int:
        return self.run.timeline.steps

    def stds(self, *endings: str) -> list[float]:
        """Root mean square of the first values of every parameter whose path ends so."""
        found = [value for path, value in self.first.assembly.params.items() if path.endswith(endings)]
        assert found, endings
        with torch.no_grad():
            return [float(value.double().square().mean().sqrt()) for value in found]
