"""`python -m benchmarks.prices`: what each technique costs per step and in memory, beside the same GPT without it.

4 layers, 128 wide, 4 heads, context 256, 16 rows; every technique with its default options and what it requires.
Time is processor time of one thread, alternating steps from all over the schedule, median of 5 ratios. Memory is the
peak of a process of its own less that of a process that only imports and opens the data. A few pairs with a goal
follow. Writes `benchmarks/results/prices.{json,md}`.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Ratio, compare
from benchmarks.overhead import ROWS, SHAPE
from benchmarks.pages import measured_with, publish, table
from benchmarks.steps import Stepper
from coregpt.contract.config import RunConfig
from coregpt.engine.data import open_source
from coregpt.lab.study.registry import Catalogue

PRECISIONS = ("fp32", "bf16")
GOAL_PAIRS = 4
"""Times as many pairs where a goal is judged."""
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


def config(plugins: Plugins, precision: str, case: Case | None = None) -> RunConfig:
    context, rows = (case.context, case.rows) if case else (SHAPE.context, ROWS)
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
        made.append(Case(name, {**company, name: {}}, company))
    return made


def step_ratio(case: Case, precision: str, pairs: int) -> Ratio:
    ours, theirs = (Stepper(config(plugins, precision, case)) for plugins in (case.ours, case.theirs))
    return compare(ours, theirs, pairs)


def peak() -> int:
    """Largest resident bytes of this process. Not `ru_maxrss`: on Linux a child begins with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def peak_of(names: str, precision: str) -> int:
    """Bytes of a fresh process that takes a few steps with the techniques in `names` (a,b,c); "null" takes none."""
    command = [sys.executable, "-m", "benchmarks.prices", "--memory", names, "--precision", precision]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory(names: str, precision: str) -> None:
    torch.set_num_threads(1)
    open_source("pydocs")
    if names != "null":
        step = Stepper(config({name: {} for name in names.split(",") if name}, precision))
        for _ in range(MEMORY_STEPS):
            step()
    print(peak())


def memory_ratio(case: Case, precision: str, known: dict[str, int]) -> float:
    """Peak of ours over peak of theirs, both less the null run's. `known` keeps what was measured before."""
    sides = [",".join(plugins) for plugins in (case.ours, case.theirs)]
    for names in ("null", *sides):
        if (key := f"{precision} {names}") not in known:
            known[key] = peak_of(names, precision)
    null = known[f"{precision} null"]
    ours, theirs = (known[f"{precision} {names}"] - null for names in sides)
    return ours / theirs


def told(ratio: Ratio) -> str:
    return f"{ratio.median:.3f} ({ratio.low:.3f} - {ratio.high:.3f})"


def met(ratio: Ratio, goal: float) -> str:
    """Judged by the smallest and the largest of the 5 ratios."""
    if ratio.high <= goal:
        return "yes"
    return "no" if ratio.low > goal else "undecided"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prices", description="What each technique costs.")
    parser.add_argument("--pairs", type=int, default=2, help="alternating pairs in each of 5 repetitions")
    parser.add_argument("--only", help="techniques, separated by commas; nothing is written")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="fp32", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.memory is not None:
        return memory(options.memory, options.precision)
    chosen = options.only.split(",") if options.only else None
    priced = [case for case in cases() if chosen is None or case.name in chosen]
    rows, record, known = [], list[dict[str, Any]](), dict[str, int]()
    for case in priced:
        ratios = {precision: step_ratio(case, precision, options.pairs) for precision in PRECISIONS}
        room = {precision: memory_ratio(case, precision, known) for precision in PRECISIONS}
        rows.append([case.name, *map(told, ratios.values()), *(f"{value:.2f}" for value in room.values())])
        record.append({"name": case.name, "step": {p: asdict(r) for p, r in ratios.items()}, "memory": room})
    lines = ["# What each technique costs", "", *(__doc__ or "").strip().split("\n")[2:], "", measured_with(), ""]
    lines += table("technique|step, fp32|step, bf16|memory, fp32|memory, bf16", rows)
    goals = list[dict[str, Any]]()
    if chosen is None:
        rows = []
        for case in GOALS:
            pairs = GOAL_PAIRS * options.pairs
            ratios = {precision: step_ratio(case, precision, pairs) for precision in PRECISIONS}
            assert case.goal is not None
            verdicts = {precision: met(ratio, case.goal) for precision, ratio in ratios.items()}
            cells = [f"{told(ratios[p])}: {verdicts[p]}" for p in PRECISIONS]
            rows.append([case.name, f"at most {case.goal:g}", *cells])
            goals.append({"name": case.name, "goal": case.goal, "step": {p: asdict(r) for p, r in ratios.items()}})
        lines += ["", 'Goals; "undecided" where some of the 5 ratios are on either side:', ""]
        lines += table("pair|goal|fp32|bf16", rows)
        publish("prices", lines, {"techniques": record, "goals": goals, "peak_bytes": known})
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
