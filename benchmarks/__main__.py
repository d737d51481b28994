"""`python -m benchmarks`: training steps against plain loops; writes `benchmarks/results/overhead.{json,md}`."""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.kernels import CASES, attention_ratio
from benchmarks.overhead import SHAPES, SIDES, called
from benchmarks.pages import measured_with, publish, table
from benchmarks.startup import help_seconds
from benchmarks.turns import take_turns, times_faster

GOAL = 3.0

ABOUT = [
    "# Training steps on one CPU core",
    "",
    "CoreGPT's step (no plugin on, log included) and plain PyTorch loops of the same model on the same rows:",
    "a byte GPT of 4 layers, 128 wide, 4 heads. Every loop is a process of its own, set up as its users would set it",
    "up, and they take turns; processor time of one thread, median and range of 5 medians. README's study trains 4",
    "rows of 128.",
    "`python -m benchmarks` makes this page.",
    "",
]


def step_times(rows: int, context: int, rounds: int) -> tuple[list[str], dict[str, object]]:
    """The table of one shape, and its numbers."""
    names = [called(name, rows, context) for name in SIDES]
    taken = take_turns("benchmarks.overhead", names, rounds)
    lines, steps = [], dict[str, object]()
    for name, key in zip(SIDES, names, strict=True):
        faster = times_faster(taken[key], taken[names[0]])
        milliseconds = 1e3 * statistics.median(seconds for part in taken[key] for seconds in part)
        steps[name] = {"times_faster": faster, "ms": milliseconds}
        lines.append([name, f"{faster[0]:.2f}", f"{faster[1]:.2f} - {faster[2]:.2f}", f"{milliseconds:.1f}"])
    heading = [f"## {rows} rows of {context} tokens", ""]
    return [*heading, *table(f"loop|times faster than {SIDES[0]}|range|ms a step", lines), ""], steps


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="turns of every loop in each of 5 repetitions")
    options = parser.parse_args(argv)
    lines, steps = [*ABOUT, measured_with(), ""], {}
    for rows, context in SHAPES:
        found, steps[f"{rows}x{context}"] = step_times(rows, context, options.rounds)
        lines += found
    lines.append(f"Goal: CoreGPT in bf16 at least {GOAL:.0f} times as fast as the plain fp32 loop at 16 rows of 256.")
    kernels = {case: attention_ratio(*case) for case in CASES}
    lines += ["", "bf16 attention on CPU, forward and backward, over PyTorch's fused kernel (the plain loop's):", ""]
    found = []
    for (shape, window), k in kernels.items():
        ratio = [f"{k.median:.2f}", f"{k.low:.2f} - {k.high:.2f}", f"{k.ours_ms:.1f}", f"{k.theirs_ms:.1f}"]
        found.append([", ".join(map(str, shape)), str(window or "-"), *ratio])
    lines += table("batch, heads, tokens, width|window|ratio|range|ms|fused ms", found)
    seconds = help_seconds()
    lines += ["", f"`coregpt --help`: {seconds:.2f} s (median of 9)"]
    attention = [{"shape": shape, "window": window, **asdict(k)} for (shape, window), k in kernels.items()]
    publish("overhead", lines, {"step": steps, "attention_bf16_cpu": attention, "help_seconds": seconds})


if __name__ == "__main__":
    main()
