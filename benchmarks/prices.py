"""`python -m benchmarks.prices`: what each technique costs per step and in memory, beside the same GPT without it.

4 layers, 128 wide, 4 heads, 4 rows of 128 tokens, as shipped studies have at laptop scale; every technique with its
default options and what it requires. Time is processor time of one thread, alternating steps from all over the
schedule, median of 5 ratios, in bf16 too where a processor has instructions for it. Memory is by how much the peak of a
process grows in a few steps. A few pairs with a goal follow, at 16 rows of 256 unless they say otherwise. Writes
`benchmarks/results/prices.{json,md}`.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from benchmarks.measure import Ratio, compare
from benchmarks.overhead import ROWS, SHAPE
from benchmarks.pages import bf16_by, measured_with, publish, table
from benchmarks.steps import Stepper
from coregpt.contract.config import RunConfig
from coregpt.engine.data import open_source
from coregpt.lab.study.registry import Catalogue

PRECISIONS = ("fp32", "bf16")
SMALL_CONTEXT, SMALL_ROWS = 128, 4
"""What a step of a technique is measured with."""
MEMORY_STEPS = 3
STEPS = 400
Plugins = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """`ours` beside `theirs`, at another context if one is given; `goal` is the largest ratio that is wanted."""

    name: str
    ours: Plugins
    theirs: Plugins = field(default_factory=dict)
    goal: float | None = None
    context: int = SHAPE.context
    rows: int = ROWS


MODERN: Plugins = {"rope": {}, "swiglu": {}}
GOALS = (
    Case("ngpt / GPT, both with rope and swiglu", {**MODERN, "ngpt": {}}, MODERN, 1.2),
    Case("normuon / muon", {"muon": {}, "normuon": {}}, {"muon": {}}, 1.05),
    Case("moe, chosen experts / all experts", {"moe": {}}, {"moe": {"routing": "soft_dense"}}, 1.0),
    Case("window_warmup / full attention, context 2048", {"window_warmup": {"step": 128}}, {}, 1.0, 2048, 1),
)


def config(plugins: Plugins, precision: str, case: Case) -> RunConfig:
    rows, context = case.rows, case.context
    shape = SHAPE.model_copy(update={"context": context})
    options = {name: dict(given) for name, given in plugins.items()}
    return RunConfig(
        model=shape,
        tokens=STEPS * rows * context,
        batch_tokens=rows * context,
        precision=precision,  # type: ignore[arg-type]
        plugins=options,
    )


def cases() -> list[Case]:
    """Every technique there is, with its companions on both sides."""
    catalogue = Catalogue()
    made = []
    for name in catalogue.names():
        company: Plugins = {needed: {} for needed in catalogue.cls(name).requires}
        made.append(Case(name, {**company, name: {}}, company, context=SMALL_CONTEXT, rows=SMALL_ROWS))
    return made


def step_ratio(case: Case, precision: str, pairs: int) -> Ratio:
    ours, theirs = (Stepper(config(plugins, precision, case)) for plugins in (case.ours, case.theirs))
    return compare(ours, theirs, pairs)


def resident(kind: str) -> int:
    """`VmRSS` or `VmHWM`, the largest so far, of this process in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{kind}:")[2].split()[0]) * 1024


def growth(plugins: Plugins, precision: str) -> int:
    """Bytes by which the peak of this process grows in a few steps."""
    Path("/proc/self/clear_refs").write_text("5")  # the largest so far is what there is now
    before = resident("VmHWM")
    step = Stepper(config(plugins, precision, Case("", {}, context=SMALL_CONTEXT, rows=SMALL_ROWS)))
    for _ in range(MEMORY_STEPS):
        step()
    return resident("VmHWM") - before


def serve_memory() -> None:
    """Answers `fp32 a,b,c` with bytes, each by a fork of a process that has only imported and opened the data."""
    torch.set_num_threads(1)
    open_source("pydocs")
    Catalogue().names()
    for line in sys.stdin:
        precision, _, names = line.rstrip("\n").partition(" ")
        if (child := os.fork()) == 0:
            print(growth({name: {} for name in names.split(",") if name}, precision), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            print(-1, flush=True)


class Peaks:
    """Peaks by precision and techniques; each is measured once."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.prices", "--memory"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()

    def of(self, plugins: Plugins, precision: str) -> int:
        """RuntimeError if the steps could not be taken."""
        asked = f"{precision} {','.join(plugins)}"
        if asked not in self.known:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            print(asked, file=self.process.stdin, flush=True)
            self.known[asked] = int(self.process.stdout.readline())
        if self.known[asked] < 0:
            raise RuntimeError(f"no memory was measured of {asked}")
        return self.known[asked]

    def ratio(self, case: Case, precision: str) -> float:
        """Of ours over theirs."""
        return self.of(case.ours, precision) / self.of(case.theirs, precision)


def told(ratio: Ratio) -> str:
    return f"{ratio.median:.3f} ({ratio.low:.3f} - {ratio.high:.3f})"


def met(ratio: Ratio, goal: float) -> str:
    """Judged by the smallest and the largest of the 5 ratios."""
    if ratio.high <= goal:
        return "yes"
    return "no" if ratio.low > goal else "undecided"


def priced(case: Case, precisions: Sequence[str], pairs: int, peaks: Peaks) -> dict[str, Any]:
    """What a technique costs, as the record has it."""
    ratios = {precision: step_ratio(case, precision, pairs) for precision in precisions}
    room = {precision: peaks.ratio(case, precision) for precision in precisions}
    print(f"{case.name}: {told(ratios['fp32'])}, memory {room['fp32']:.2f}", file=sys.stderr, flush=True)
    return {"name": case.name, "step": {p: asdict(ratio) for p, ratio in ratios.items()}, "memory": room}


def judged(case: Case, precisions: Sequence[str], pairs: int) -> tuple[list[str], dict[str, Any]]:
    """A pair with a goal, as the page and as the record have it."""
    ratios = {precision: step_ratio(case, precision, pairs) for precision in precisions}
    assert case.goal is not None
    cells = [f"{told(ratio)}: {met(ratio, case.goal)}" for ratio in ratios.values()]
    record = {"name": case.name, "goal": case.goal, "step": {p: asdict(ratio) for p, ratio in ratios.items()}}
    return [case.name, f"at most {case.goal:g}", *cells], record


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prices", description="What each technique costs.")
    parser.add_argument("--pairs", type=int, default=4, help="alternating pairs in each of 5 repetitions")
    parser.add_argument("--only", help="techniques, separated by commas; nothing is written")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.memory:
        return serve_memory()
    torch.set_num_threads(1)
    precisions = PRECISIONS if bf16_by() != "no" else PRECISIONS[:1]
    chosen = options.only.split(",") if options.only else None
    with Peaks() as peaks:
        asked = [case for case in cases() if chosen is None or case.name in chosen]
        record = [priced(case, precisions, options.pairs, peaks) for case in asked]
    rows = [
        [
            each["name"],
            *(told(Ratio(**of)) for of in each["step"].values()),
            *(f"{m:.2f}" for m in each["memory"].values()),
        ]
        for each in record
    ]
    lines = ["# What each technique costs", "", *(__doc__ or "").strip().split("\n")[2:], "", measured_with(), ""]
    head = [f"{what}, {precision}" for what in ("step", "memory") for precision in precisions]
    lines += table("|".join(["technique", *head]), rows)
    if chosen is not None:
        print("\n".join(lines))
        return None
    found = [judged(case, precisions, options.pairs) for case in GOALS]
    lines += ["", 'Goals; "undecided" where some of the 5 ratios are on either side:', ""]
    lines += table("|".join(["pair", "goal", *precisions]), [cells for cells, _ in found])
    goals = [each for _, each in found]
    return publish("prices", lines, {"techniques": record, "goals": goals, "peak_bytes": peaks.known})


if __name__ == "__main__":
    main()
