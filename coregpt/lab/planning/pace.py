"""`match: seconds`: the tokens each arm trains in the seconds that the baseline takes, from its measured speed.

Each arm is timed against the baseline before the first run: real steps of both, in turns, so that a machine that is
busy for a while is busy for both. What was found goes into the ledger, and every later call takes it from there.
"""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError
from coregpt.engine.build import NamedPlugins, build
from coregpt.engine.compiling import prepare
from coregpt.engine.data import TokenSource
from coregpt.engine.trainer import Trainer, never
from coregpt.lab.designs.match import where, whole_batches, with_tokens
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import Unrecorded
from coregpt.lab.study.declaration import Study

PLACES = 8
"""Steps of a run that are timed, evenly spaced: schedules change what a step costs."""
ROUNDS = 5
SECONDS = 3.0
"""Rounds are made until these many seconds are spent on a pair of arms, and at least `ROUNDS` of them."""


def paced(study: Study, store: Path, record: bool = True) -> Study:
    """The study with tokens set from measured speeds, or from those on record; unchanged if it matches otherwise.

    Raises CoreGPTError where the study cannot run here, and ConfigError for runs on several GPUs.
    """
    if study.match != "seconds" or study.as_declared:
        return study
    tokens = on_record(study, store)
    if tokens is None:
        tokens = measured(study)
        if record:
            Ledger.of(store).append("paced", study=study.name, digest=study.digest, tokens=tokens)
    return with_tokens(study, tokens)


def on_record(study: Study, store: Path) -> dict[str, int] | None:
    """Tokens by arm that an earlier call found for the same declaration."""
    found = [
        entry["tokens"]
        for entry in Ledger.of(store).read()
        if entry.event == "paced" and (entry["study"], entry["digest"]) == (study.name, study.digest)
    ]
    return {name: int(number) for name, number in found[-1].items()} if found else None


def measured(study: Study) -> dict[str, int]:
    """Tokens by arm, in whole batches; the baseline keeps its own, the yardstick is not asked."""
    if study.gpus_per_run != 1 or study.splits:
        raise ConfigError(f"{where(study)} is measured on one GPU; it needs 'gpus_per_run: 1'")
    made = plan(outline(study))
    first = {run.arm: run.config for run in reversed(made.runs)}
    name = study.criterion.baseline
    tokens = {}
    for arm in study.compared:
        if arm.name != name:
            pair = {each: first[each] for each in (name, arm.name)}
            plugins = {each: study.catalogue.instances(config.plugins) for each, config in pair.items()}
            speed = side_by_side(pair, plugins, made.source)
            wanted = made.costs[name].tokens * speed[arm.name] / speed[name]
            tokens[arm.name] = whole_batches(wanted, arm.run.batch_tokens)
    return tokens


def side_by_side(
    configs: Mapping[str, RunConfig], plugins: Mapping[str, NamedPlugins], source: TokenSource
) -> dict[str, float]:
    """Training tokens per second of every arm over its whole run, all of them timed in turns."""
    before = torch.get_num_threads()
    if all(config.device == "cpu" for config in configs.values()):
        torch.set_num_threads(1)
    try:
        trainers = {name: _trainer(config, plugins[name], source) for name, config in configs.items()}
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


def _trainer(config: RunConfig, plugins: NamedPlugins, source: TokenSource) -> Trainer:
    run = build(config, plugins, separator=source.separator)
    trainer = Trainer(run, source, Unrecorded(), Path(), never, checkpoint_seconds=float("inf"))
    trainer.calls = prepare(run, trainer.pass_rows, trainer.autocast)
    return trainer


def _seconds(trainer: Trainer, step: int) -> float:
    """One training step as the loop makes it, its log line included."""
    begun = time.perf_counter()
    trainer.pending.append((step, 0.0, trainer.train_step(step)))
    trainer.flush()
    return time.perf_counter() - begun
