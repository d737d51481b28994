"""`python -m benchmarks.growth_curves`: how time and memory grow, beside how the arithmetic says they must.

Processor time of a training step against depth, width, context, vocabulary, number of plugins and number of ranks;
peak memory against the first four; plan and report against the number of runs. Each as the exponent of a power law. A
step may grow as the counted FLOPs do, memory as what must be held, idle plugins not at all, a study in proportion to
its runs; ranks together as what each of them cannot avoid: a step of its share of the batch on its own, and the
exchange of gradients and weights. What grows faster than that, by more than 0.15, is flagged. Beside these, three fixed
costs: starting a run, forked and spawned, and writing a step to the log. Writes
`benchmarks/results/growth_curves.{json,md}`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import spawn as spawn_ranks

from benchmarks.growth import exponent
from benchmarks.measure import timed
from benchmarks.pages import publish, table
from benchmarks.prices import resident
from benchmarks.steps import Stepper
from benchmarks.study_growth import log_microseconds, start_seconds, study_costs
from coregpt.api import Plugin, RunView, Schedule, hookimpl
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.accounting import count
from coregpt.engine.data import open_source
from coregpt.engine.training.world import join, leave

BASE = ModelShape(vocab=256, dim=128, depth=4, heads=4, context=256)
ROWS = 4
SIZES: dict[str, tuple[int, ...]] = {
    "depth": (2, 4, 8, 16),
    "dim": (64, 128, 256, 512),
    "context": (128, 256, 512, 1024),
    "vocab": (256, 1024, 4096, 16384),
}
HELD = {"depth": 1.0, "dim": 2.0, "context": 1.0, "vocab": 1.0}
"""Memory at most: layers, weights (width squared), tokens, and rows of tables and logits."""
PLUGINS, RANKS, RUNS = (1, 4, 16, 64), (1, 2, 4), (40, 80, 160, 320)
SLACK = 0.15


@dataclass(frozen=True)
class Row:
    """Costs in ms or MiB at each size, and the largest exponent that the arithmetic excuses."""

    what: str
    unit: str
    sizes: tuple[int, ...]
    costs: tuple[float, ...]
    allowed: float

    @property
    def measured(self) -> float:
        return exponent(self.sizes, self.costs)

    @property
    def worse(self) -> bool:
        return self.measured > self.allowed + SLACK


def config(shape: ModelShape, rows: int = ROWS) -> RunConfig:
    tokens = rows * shape.context
    return RunConfig(model=shape, tokens=200 * tokens, batch_tokens=tokens, eval_tokens=shape.context)


def interleaved(steppers: Sequence[Callable[[], object]], times: int) -> list[float]:
    """Median processor milliseconds of each; they take turns, so that no size has a bad hour to itself."""
    seconds = [[timed(step) for step in steppers] for _ in range(times + 1)][1:]
    return [1e3 * statistics.median(column) for column in zip(*seconds, strict=True)]


def shape_rows(axis: str, sizes: tuple[int, ...], times: int) -> list[Row]:
    configs = [config(BASE.model_copy(update={axis: size})) for size in sizes]
    flops = [count(c, []).flops_per_token * c.batch_tokens for c in configs]
    ms = interleaved([Stepper(c) for c in configs], times)
    null = peak_of(axis, sizes[0], steps=0)
    room = [(peak_of(axis, size, steps=2) - null) / 2**20 for size in sizes]
    return [
        Row(f"step against {axis}", "ms", sizes, tuple(ms), exponent(sizes, flops)),
        Row(f"memory against {axis}", "MiB", sizes, tuple(room), HELD[axis]),
    ]


def peak_of(axis: str, size: int, steps: int) -> int:
    """Bytes of a fresh process that takes `steps` steps, or only opens the data."""
    command = [sys.executable, "-m", "benchmarks.growth_curves", "--memory", axis, str(size), str(steps)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory(axis: str, size: int, steps: int) -> None:
    torch.set_num_threads(1)
    open_source("pydocs")
    if steps:
        step = Stepper(config(BASE.model_copy(update={axis: size})))
        for _ in range(steps):
            step()
    print(resident("VmHWM"))


class Idle(Plugin):
    """Owns a dial that nobody reads."""

    number: int = 0

    @hookimpl
    def add_schedules(self, run: RunView) -> dict[str, Schedule]:
        return {f"idle{self.number}": lambda clock: clock.progress}


def plugin_row(times: int) -> Row:
    """Steps of a tiny model, 1/30 of a laptop study's, where a cost per plugin would show first."""
    tiny = BASE.model_copy(update={"depth": 2, "dim": 64})
    steppers = [Stepper(config(tiny), [(f"idle{i}", Idle(number=i)) for i in range(n)]) for n in PLUGINS]
    return Row("step against plugins", "ms", PLUGINS, tuple(interleaved(steppers, times)), 0.0)


def rank(number: int, size: int, folder: str, times: int) -> None:
    """One gloo process: median processor seconds of a step, of its share on its own and of the exchange, to a file."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(number), WORLD_SIZE=str(size))
    rendezvous = f"file://{folder}/rendezvous"
    if size > 1:
        torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=number, world_size=size)
    world = join("cpu")
    together, alone = Stepper(config(BASE), world=world), Stepper(config(BASE, ROWS // size))

    def exchange() -> None:
        together.run.optimizer.reduce()
        for stack in together.run.optimizer.stacks:
            world.all_gather(stack.data, stack.data[stack.mine])

    milliseconds = interleaved((together, alone, exchange), times)
    (Path(folder) / str(number)).write_text(json.dumps(milliseconds))
    leave()


def rank_row(times: int) -> Row:
    """Processor time of all ranks together for one batch."""
    total, needed = list[float](), list[float]()
    for size in RANKS:
        with tempfile.TemporaryDirectory() as folder:
            spawn_ranks(rank, (size, folder, times), nprocs=size)
            each = [json.loads((Path(folder) / str(number)).read_text()) for number in range(size)]
        together, *apart = (sum(column) for column in zip(*each, strict=True))
        total.append(together)
        needed.append(sum(apart))
    return Row("step against ranks", "ms", RANKS, tuple(total), exponent(RANKS, needed))


def study_rows(sizes: tuple[int, ...]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        costs = [study_costs(Path(folder), runs) for runs in sizes]
    return [
        Row("plan against runs", "ms", sizes, tuple(1e3 * planned for planned, _ in costs), 1.0),
        Row("report against runs", "ms", sizes, tuple(1e3 * reported for _, reported in costs), 1.0),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth_curves", description="How time and memory grow.")
    parser.add_argument("--times", type=int, default=9, help="steps of each size")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.memory:
        return memory(options.memory[0], int(options.memory[1]), int(options.memory[2]))
    torch.set_num_threads(1)
    begun = time.monotonic()
    rows = [row for axis, sizes in SIZES.items() for row in shape_rows(axis, sizes, options.times)]
    rows += [plugin_row(4 * options.times), rank_row(options.times), *study_rows(RUNS)]
    forked, spawned, logged = *start_seconds(), log_microseconds()
    lines = ["# How time and memory grow", "", *(__doc__ or "").strip().split("\n")[2:], ""]
    cells = [
        [
            row.what,
            ", ".join(f"{size:,}" for size in row.sizes),
            ", ".join(f"{cost:.3g}" for cost in row.costs) + f" {row.unit}",
            f"{row.measured:+.2f}",
            f"{row.allowed:+.2f}",
            "WORSE" if row.worse else "",
        ]
        for row in rows
    ]
    lines += table("what|at|cost|exponent|at most|", cells)
    lines += [
        "",
        f"Starting a run, wall time to its end at one step: {1e3 * forked:.0f} ms forked from a warm process,",
    ]
    lines += [f"{1e3 * spawned:.0f} ms as a program of its own. Writing a step to the log: {logged:.0f} us of"]
    lines += [f"processor time, {logged / 10:.1f}% of a step of 1 ms."]
    fixed = {"forked_seconds": forked, "spawned_seconds": spawned, "log_microseconds": logged}
    if options.dry:
        print("\n".join(lines), f"\n{time.monotonic() - begun:.0f} s")
    else:
        record: list[dict[str, Any]] = [{**asdict(row), "exponent": row.measured, "worse": row.worse} for row in rows]
        publish("growth_curves", lines, {"rows": record, **fixed})


if __name__ == "__main__":
    main()
