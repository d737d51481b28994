"""What the missing runs of a study will take: time and memory by arm, and the wall time of all."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from coregpt.contract.config import RunConfig
from coregpt.engine.build import NamedPlugins
from coregpt.engine.inputs import Given
from coregpt.lab.execute.slots import find_slots
from coregpt.lab.execute.tasks import left
from coregpt.lab.planning.memory import Memory, estimate, fitting_rows, room
from coregpt.lab.planning.probe import tokens_per_second
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.code.witness import witnessed
from coregpt.lab.study.identity import plugin_digests, run_id
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan, PlannedRun

START_SECONDS = 5.0
"""Starting a process, reading data and writing results."""
EVAL_COST = 1 / 3
"""An evaluated token costs a forward pass, a trained one also the backward pass."""
_TRACED: dict[tuple[str, int], Memory] = {}
"""By what a run is (see `_key`), and how many ranks it has."""
_PROBED: dict[str, float] = {}
"""Tokens per second."""


@dataclass(frozen=True)
class Share:
    """What one arm still takes."""

    runs: int
    """Missing ones."""
    seconds: float
    """Of all of them together, as if one after the other."""
    tokens_per_second: float
    memory: Memory


@dataclass(frozen=True)
class Forecast:
    """What all missing runs take on this machine."""

    arms: dict[str, Share]
    """By name, a fork's trunk as one more; only those with missing runs."""
    runs: int
    at_once: int
    seconds: float
    """Wall time."""
    processors: int
    """GPUs or cores that one run keeps busy."""
    speed: float
    """Tokens per second of a run of the baseline."""
    origin: str
    device: str
    room: int
    """Memory in bytes: of the GPU, or of the machine, which all runs share; 0 if unknown."""

    def cost(self, arm: str, price: float) -> float:
        """Of an arm's missing runs, at a price per hour of one GPU or core."""
        return self.arms[arm].seconds / 3600 * self.processors * price

    def total(self, price: float) -> float:
        return sum(self.cost(arm, price) for arm in self.arms)

    @property
    def needed(self) -> int:
        """Bytes at the worst moment in one GPU, or in the machine."""
        most = max(share.memory.peak for share in self.arms.values())
        return most if self.device == "cuda" else most * self.at_once

    @property
    def fitting_rows(self) -> int | None:
        """What `micro_rows` would have to be for the largest arm to fit; None if nothing helps."""
        largest = max((share.memory for share in self.arms.values()), key=lambda memory: memory.peak)
        return fitting_rows(largest, self.room if self.device == "cuda" else self.room // self.at_once)


def forecast(made: Plan, store: Path, jobs: int | None) -> Forecast | None:
    """None if nothing is missing. Probes the speed of the baseline where no earlier run tells it."""
    todo = left(made, store)
    if not todo:
        return None
    device, ranks = todo[0].config.device, made.study.gpus_per_run
    at_once = min(len(find_slots(device, ranks, jobs)), len(todo))
    if foreign(made.baseline.run) is not None:
        return _of_programs(made, store, todo, jobs)
    speed, origin = measure(made, store)
    baseline = made.costs[made.baseline.name]
    arms: dict[str, Share] = {}
    for run in todo:
        before, cost = arms.get(run.arm), made.cost(run.arm)
        if before is None:
            own = earlier_speed(made, store, run.arm)
            own = own or speed * baseline.flops_per_token / cost.flops_per_token
            before = Share(0, 0.0, own, _memory(made, run.config))
        times = (run.config.evals + 1) * (2 if run.config.held_out_curve else 1) + (not run.config.held_out_curve)
        evaluated = run.config.eval_tokens * times * EVAL_COST
        seconds = (cost.tokens + evaluated) * made.share(run) / before.tokens_per_second + START_SECONDS
        arms[run.arm] = Share(before.runs + 1, before.seconds + seconds, before.tokens_per_second, before.memory)
    arms = {name: arms[name] for name in sorted(arms, key=partial(_place, made))}
    total = math.fsum(share.seconds for share in arms.values())
    wall = max(total / at_once, total / len(todo))
    return Forecast(arms, len(todo), at_once, wall, ranks, speed, origin, device, room(device))


def _place(made: Plan, arm: str) -> int:
    """As arms stand in the study; runs are told in an order of their own, in which they are started."""
    names = [each.name for each in made.study.arms]
    return names.index(arm) if arm in names else -1


def _of_programs(made: Plan, store: Path, todo: Sequence[PlannedRun], jobs: int | None) -> Forecast:
    """What earlier runs took is all that is known of a program, and what it may take at most; NaN where neither is."""
    todo = [run for run in made.runs if RunFolder(store / run.id).result() is None] or todo
    at_once = min(len(find_slots(todo[0].config.device, made.study.gpus_per_run, jobs)), len(todo))
    took: dict[str, list[float]] = {}
    for run in made.runs:
        result = RunFolder(store / run.id).result()
        if result is not None:
            took.setdefault(run.arm, []).append(result["train_seconds"])
    all_ = [seconds for each in took.values() for seconds in each]
    arms: dict[str, Share] = {}
    for run in todo:
        known = took.get(run.arm) or all_
        kind = foreign(run.config)
        each = statistics.median(known) if known else (kind.longest() if kind else None) or math.nan
        before = arms.get(run.arm, Share(0, 0.0, 0.0, Memory(0, 0, 0, 0, 0, 0, 0)))
        arms[run.arm] = replace(before, runs=before.runs + 1, seconds=before.seconds + each)
    total = math.fsum(share.seconds for share in arms.values())
    origin = "as earlier runs" if all_ else "at most, by its time limit"
    ranks, wall = made.study.gpus_per_run, max(total / at_once, total / len(todo))
    return Forecast(arms, len(todo), at_once, wall, ranks, 0.0, origin, todo[0].config.device, 0)


def measure(made: Plan, store: Path) -> tuple[float, str]:
    """Tokens per second of the baseline, from earlier runs or else from a probe that does not compile; NaN where this
    machine has no room for one run: a probe would take what others here need, and be ended by the system."""
    earlier = earlier_speed(made, store, made.baseline.name)
    if earlier:
        return earlier, "from earlier runs"
    config = next(run for run in made.runs if run.arm == made.baseline.name).config
    here = room(config.device)
    if here and _memory(made, config).peak > here:
        return math.nan, "not known, since one run does not fit here"
    key = _key(made, config)
    if key not in _PROBED:
        _PROBED[key] = witnessed(partial(tokens_per_second, config, *_given(made, config)))
    found = _PROBED[key]
    ranks = made.study.gpus_per_run
    notes = (", uncompiled" if config.compile else "") + (f", times {ranks} GPUs" if ranks > 1 else "")
    return found * ranks, f"from a short probe of the baseline{notes}"


def _memory(made: Plan, config: RunConfig) -> Memory:
    """Traced once for all learning rates, of which a bracket tries many."""
    ranks = made.study.gpus_per_run
    key = _key(made, config), ranks
    if key not in _TRACED:
        _TRACED[key] = witnessed(partial(estimate, config, *_given(made, config), ranks=ranks))
    return _TRACED[key]


def _key(made: Plan, config: RunConfig) -> str:
    """What a run is, whatever its seed and learning rate: with each it takes the same memory and time."""
    plain = config.model_copy(update={"seed": 0, "optim": config.optim.model_copy(update={"lr": 1.0})})
    return run_id(plain, plugin_digests(made.study.catalogue, config.plugins), "")


def _given(made: Plan, config: RunConfig) -> tuple[NamedPlugins, Given]:
    catalogue = made.study.catalogue
    return catalogue.instances(config.plugins), inputs_of(config, catalogue)


def earlier_speed(made: Plan, store: Path, arm: str) -> float | None:
    """Median tokens per second of the finished runs of an arm."""
    results = [RunFolder(store / run.id).result() for run in made.runs if run.arm == arm]
    found = [result["tokens_per_second"] for result in results if result and result["tokens_per_second"]]
    return statistics.median(found) if found else None
