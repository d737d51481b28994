"""How fast arms train beside each other: real steps of all, in turns, so that a busy machine is busy for all."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from coregpt.contract.config import RunConfig
from coregpt.engine.build import NamedPlugins, build
from coregpt.engine.data import TokenSource
from coregpt.engine.inputs import Given
from coregpt.engine.training.trainer import Trainer, never
from coregpt.lab.records.store import Unrecorded

PLACES = 8
"""Steps of a run that are timed, evenly spaced: schedules change what a step costs."""
ROUNDS = 5
SECONDS = 3.0
"""Rounds are made until these many seconds are spent on a pair of arms, and at least `ROUNDS` of them."""


def side_by_side(
    configs: Mapping[str, RunConfig],
    plugins: Mapping[str, NamedPlugins],
    source: TokenSource,
    inputs: Mapping[str, Given] | None = None,
) -> dict[str, float]:
    """Training tokens per second of every arm over its whole run, all of them timed in turns."""
    before = torch.get_num_threads()
    if all(config.device == "cpu" for config in configs.values()):
        torch.set_num_threads(1)
    try:
        trainers = {
            name: _trainer(config, plugins[name], source, (inputs or {}).get(name)) for name, config in configs.items()
        }
        places = {name: _places(trainer.run.timeline.steps) for name, trainer in trainers.items()}
        for name, trainer in trainers.items():
            for step in places[name]:
                _seconds(trainer, step)
        taken: dict[str, list[list[float]]] = {name: [[] for _ in steps] for name, steps in places.items()}
        begun, rounds = time.perf_counter(), 0
        while rounds < ROUNDS or time.perf_counter() - begun < SECONDS:
            for place in range(PLACES):
                for name, trainer in trainers.items():
                    taken[name][place].append(_seconds(trainer, places[name][place]))
            rounds += 1
    finally:
        torch.set_num_threads(before)
    per_step = {name: statistics.mean(map(statistics.median, times)) for name, times in taken.items()}
    lines = {name: trainer.run.timeline for name, trainer in trainers.items()}
    return {name: lines[name].tokens / (lines[name].steps * seconds) for name, seconds in per_step.items()}


def _places(steps: int) -> list[int]:
    """The middle of each of `PLACES` equal parts of a run."""
    return [int((place + 0.5) * steps / PLACES) for place in range(PLACES)]


def _trainer(config: RunConfig, plugins: NamedPlugins, source: TokenSource, inputs: Given | None) -> Trainer:
    run = build(config, plugins, inputs=inputs, separator=source.separator)
    trainer = Trainer(run, source, Unrecorded(), Path(), never, checkpoint_seconds=float("inf"))
    trainer.train_step.prepare()
    return trainer


def _seconds(trainer: Trainer, step: int) -> float:
    """One training step as the loop makes it, its log line included."""
    begun = time.perf_counter()
    trainer.pending.append((step, 0.0, trainer.train_step(step)))
    trainer.flush()
    return time.perf_counter() - begun
