"""`python -m benchmarks.run_cost`: what a run costs beside the seconds that it trains.

The 12 runs of `ablations/ngpt_vs_gpt.yaml` at laptop scale, with fewer tokens unless told otherwise, by the launcher of
`coregpt ablate`, one at a time. Its workers are those of any study, with clocks around what they do. Processor time is
of one run's process; wall time of a run is the launcher's, from one start to the next. The parts are those of a worker:
the time that it is asked to train is the one that its result records, and its evaluations are as many and as large as
the study wants them. Planning and the report are divided by the number of runs. Writes
`benchmarks/results/run_cost.{json,md}`.
"""

import argparse
import contextlib
import io
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pages import publish, table
from benchmarks.study_rate import shortened
from coregpt.lab.execute import pool
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.execute.slots import Slot
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.progress import Display
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from coregpt.report.analysis.collect import collect
from coregpt.report.analysis.summary import summarise
from coregpt.report.pages.render import render

ROOT = Path(__file__).parent.parent
TOKENS = 102_400
"""Seconds of training: as short as runs worth launching get."""
GOAL = 1.2
"""Seconds that a run may cost for each second that it trains."""
PARTS = ("start", "training", "evaluations", "checkpoints", "judge", "rest of the worker")


# -- inside the workers ----------------------------------------------------------------------------------------


class Clocks:
    """Processor and wall seconds by part; what one part calls is not counted in it."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[float, float]] = dict.fromkeys(PARTS, (0.0, 0.0))
        self.inside = [PARTS[-1]]
        self.last = now()

    def switch(self) -> None:
        """Time until now belongs to the part that is going on."""
        before, self.last = self.last, now()
        spent = self.parts[self.inside[-1]]
        self.parts[self.inside[-1]] = tuple(s + b - a for s, a, b in zip(spent, before, self.last, strict=True))

    @contextlib.contextmanager
    def during(self, part: str) -> Iterator[None]:
        self.switch()
        self.inside.append(part)
        try:
            yield
        finally:
            self.switch()
            self.inside.pop()

    def around(self, owner: Any, name: str, part: str) -> None:
        """Count every call of `owner.name` as `part`."""
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.during(part):
                return inner(*args, **kwargs)

        setattr(owner, name, timed)


def now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def serve(descriptor: int) -> None:
    """The pool's process, whose forks write `clocks.json` into their run folders."""
    from coregpt.engine.training import step, trainer
    from coregpt.lab.execute import worker
    from coregpt.lab.judging import referee

    inner = worker.main

    def timed(argv: Sequence[str] | None = None, **given: Any) -> int:
        clocks = Clocks()
        clocks.last = (0.0, clocks.last[1])  # a fork's processor time begins with it
        clocks.around(trainer.Trainer, "go", "training")
        clocks.around(trainer.Trainer, "measure", "evaluations")
        clocks.around(trainer.Trainer, "save", "checkpoints")
        clocks.around(step.TrainingStep, "prepare", "start")
        clocks.around(referee.Referee, "decide", "judge")
        clocks.inside = ["start"]
        train = worker.train

        def begun(*args: Any, **kwargs: Any) -> Any:
            clocks.switch()
            clocks.inside = [PARTS[-1]]
            return train(*args, **kwargs)

        worker.train = begun
        code = inner(argv, **given)
        clocks.switch()
        (Path((argv or [""])[0]) / "clocks.json").write_text(json.dumps(clocks.parts))
        return code

    worker.main = timed
    pool.serve(socket.socket(fileno=descriptor))


# -- outside ---------------------------------------------------------------------------------------------------


def clocked(slot: Slot) -> pool.Pool:
    """Workers that carry clocks."""
    # A pool's process does not look for modules in its working directory.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from benchmarks.run_cost import serve; "
    return pool.Pool(slot, program=("-c", f"{code}serve(int(sys.argv[1]))"))


@dataclass(frozen=True)
class Cost:
    """Mean seconds per run."""

    runs: int
    recorded: float
    """Training seconds by the runs' own results."""
    parts: dict[str, tuple[float, float]]
    """By part of a worker: processor and wall seconds."""
    launcher: float
    """Processor seconds of the launcher."""
    wall: float
    """The launcher's wall time, start of the pool included."""
    planning: float
    report: float
    """Processor seconds of both."""

    @property
    def processor(self) -> float:
        return sum(own for own, _ in self.parts.values()) + self.launcher + self.planning + self.report


def measure(study: Path, folder: Path) -> Cost:
    """Execute the whole study, one run at a time."""
    begun = time.process_time()
    made = plan(outline(load(study)))
    register(made, folder)
    planning, begun, wall = time.process_time() - begun, time.process_time(), time.perf_counter()
    slot = Slot(())
    with contextlib.closing(clocked(slot)) as workers:
        tally = Launcher(made, folder, [slot], Display(io.StringIO()), machine=Executor(slot, pool=workers)).execute()
    launcher, wall, begun = time.process_time() - begun, time.perf_counter() - wall, time.process_time()
    runs = len(made.runs)
    if len(tally.trained) != runs:
        raise RuntimeError(f"{len(tally.trained)} of {runs} runs trained: {tally.failed}")
    render(summarise(*collect(made, folder)))
    report = time.process_time() - begun
    recorded, parts = from_runs(made, folder)
    return Cost(runs, recorded, parts, launcher / runs, wall / runs, planning / runs, report / runs)


def from_runs(made: Plan, folder: Path) -> tuple[float, dict[str, tuple[float, float]]]:
    """Means over the runs: recorded training seconds, and the parts."""
    results = [RunFolder(folder / run.id).result() or {} for run in made.runs]
    clocks = [json.loads((folder / run.id / "clocks.json").read_text()) for run in made.runs]
    parts = {name: tuple(statistics.mean(each[name][i] for each in clocks) for i in (0, 1)) for name in PARTS}
    return statistics.mean(result["train_seconds"] for result in results), parts


def page(cost: Cost, tokens: int, evals: int) -> list[str]:
    lines = ["# What a run costs", "", *(__doc__ or "").strip().split("\n")[2:], ""]
    lines += [f"{cost.runs} runs of {tokens:,} tokens and {evals} evaluations; mean seconds per run.", ""]
    rows = [[name, f"{own:.2f}", f"{wall:.2f}"] for name, (own, wall) in cost.parts.items()]
    beside = cost.wall - sum(wall for _, wall in cost.parts.values())
    rows += [["launcher, pool and waiting for it", f"{cost.launcher:.2f}", f"{beside:.2f}"]]
    rows += [["planning", f"{cost.planning:.2f}", ""], ["report", f"{cost.report:.2f}", ""]]
    rows += [["**all**", f"**{cost.processor:.2f}**", f"**{cost.wall:.2f}**"]]
    lines += table("part|processor|wall", rows)
    training, (own, wall) = cost.parts["training"][0], cost.parts["evaluations"]
    ratios = [
        ["all", f"{cost.processor / training:.2f}", f"{cost.wall / cost.recorded:.2f}"],
        [
            "all but evaluations",
            f"{(cost.processor - own) / training:.2f}",
            f"{(cost.wall - wall) / cost.recorded:.2f}",
        ],
    ]
    told = f"The runs record {cost.recorded:.2f} s of training by the wall clock, {training:.2f} s of the processor."
    lines += ["", f"{told} Cost of each of these seconds, goal at most {GOAL:g}:", ""]
    return [*lines, *table("what|processor|wall", ratios)]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run_cost", description="What a run costs.")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of each run; the study itself has 143360")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = shortened(Path(folder), options.tokens)
        cost = measure(path, Path(folder) / "runs")
        evals = load(path).arms[0].run.evals + 1
    lines = page(cost, options.tokens, evals)
    if options.dry:
        print("\n".join(lines))
    else:
        publish("run_cost", lines, {"tokens": options.tokens, "evaluations": evals, **vars(cost)})


if __name__ == "__main__":
    main()
