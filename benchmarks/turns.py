"""Loops in processes of their own that take turns, for sides that set up their process differently."""

import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import timed
from coregpt.lab.execute.slots import Slot


class Side:
    """One loop: `python -m benchmarks.overhead NAME`, which says when it is ready and then steps when asked.

    CoreGPT's own has the environment of its workers.
    """

    def __init__(self, module: str, name: str):
        command = [sys.executable, "-m", module, name]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        root = Path(__file__).parents[1]
        own = {**Slot(()).variables(), "PYTHONPATH": str(root)} if name.startswith("coregpt") else None
        self.process = subprocess.Popen(command, env=own, cwd=root, **pipes)

    def answer(self) -> float:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a side of the comparison ended; its error is above")
        return float(line)

    def seconds(self, steps: int) -> float:
        """Processor time of one step, `steps` in a row."""
        assert self.process.stdin
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self.answer() / steps

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def serve(step: Any, warm_up: int = 3) -> None:
    """The other end: warm up, say so, then do as many steps as each line asks and answer with their seconds."""
    for _ in range(warm_up):
        step()
    print(0.0, flush=True)
    for line in sys.stdin:
        steps = int(line)
        print(timed(lambda: [step() for _ in range(steps)]), flush=True)  # noqa: B023


def take_turns(module: str, names: Sequence[str], rounds: int, repetitions: int = 5) -> dict[str, list[list[float]]]:
    """Seconds per step of every side: `repetitions` lists of `rounds` each, neighbours in time at equal places."""
    sides = [Side(module, name) for name in names]
    try:
        for side in sides:
            side.answer()
        taken: dict[str, list[list[float]]] = {name: [] for name in names}
        for _ in range(repetitions):
            found = [[side.seconds(2) for side in sides] for _ in range(rounds)]
            for place, name in enumerate(names):
                taken[name].append([row[place] for row in found])
        return taken
    finally:
        for side in sides:
            side.end()


def times_faster(ours: list[list[float]], theirs: list[list[float]]) -> tuple[float, float, float]:
    """Median, smallest and largest of the repetitions' median ratios theirs / ours."""
    medians = [statistics.median(b / a for a, b in zip(*pair, strict=True)) for pair in zip(ours, theirs, strict=True)]
    return statistics.median(medians), min(medians), max(medians)
