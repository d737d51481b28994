"""`python -m benchmarks`: training steps against plain loops; writes `benchmarks/results/overhead.{json,md}`.

A part is measured with `--only fp32 --shapes 4x128`; it takes the place of all that was known of this processor. Loops
in bf16 are left out where a processor has no instructions for it and nobody trains in it: one takes ten times as long.
"""

import argparse
import datetime
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.kernels import CASES, attention_ratio
from benchmarks.overhead import SHAPES, SIDES, called
from benchmarks.overhead_page import publish
from benchmarks.pages import bf16_by, cpu_kind, facts
from benchmarks.startup import help_seconds
from benchmarks.turns import take_turns, times_faster


def step_times(rows: int, context: int, rounds: int, sides: Sequence[str]) -> dict[str, Any]:
    """By side, how many times as fast as the first it is, and its milliseconds."""
    names = [called(name, rows, context) for name in sides]
    taken = take_turns("benchmarks.overhead", names, rounds)
    steps = {}
    for name, key in zip(sides, names, strict=True):
        milliseconds = 1e3 * statistics.median(seconds for part in taken[key] for seconds in part)
        steps[name] = {"times_faster": times_faster(taken[key], taken[names[0]]), "ms": milliseconds}
    return steps


def shape(text: str) -> tuple[int, int]:
    """`4x128`."""
    rows, context = map(int, text.split("x"))
    if (rows, context) not in SHAPES:
        raise ValueError(text)
    return rows, context


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="turns of every loop in each of 5 repetitions")
    parser.add_argument("--only", default="", metavar="WORD", help="loops with this in their name, beside the first")
    whole = ",".join(f"{rows}x{context}" for rows, context in SHAPES)
    parser.add_argument("--shapes", default=whole, metavar="LIST", help=f"rows x tokens ({whole})")
    options = parser.parse_args(argv)
    low = bf16_by() != "no" or "bf16" in options.only
    sides = [name for name in SIDES if name == SIDES[0] or (options.only in name and (low or "bf16" not in name))]
    shapes = [shape(each) for each in options.shapes.split(",")]
    measured = {f"{rows}x{context}": step_times(rows, context, options.rounds, sides) for rows, context in shapes}
    record: dict[str, Any] = {"date": datetime.date.today().isoformat(), "facts": facts(), "step": measured}
    if not options.only:
        cases = CASES if low else []
        kernels = [{"shape": size, "window": window, **asdict(attention_ratio(size, window))} for size, window in cases]
        record |= {"attention_bf16_cpu": kernels, "help_seconds": help_seconds()}
    print(publish(cpu_kind(), record))


if __name__ == "__main__":
    main()
