"""`python -m benchmarks`: run everything, print the table, write `benchmarks/results/overhead.{json,md}`."""

import json
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.kernels import SHAPES, attention_ratio
from benchmarks.overhead import step_ratio
from benchmarks.startup import help_seconds

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    facts = {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}
    ratios = {precision: asdict(step_ratio(precision)) for precision in ("fp32", "bf16")}
    seconds = help_seconds()
    lines = [
        "# What hooks cost",
        "",
        "CoreGPT's training step (no plugin on, log included) over a bare PyTorch loop of the same model on the same",
        "rows: processor time of one thread, alternating steps, median of 5 medians.",
        "`python -m benchmarks` makes this table.",
        "",
        "| precision | CoreGPT / bare | range | CoreGPT ms | bare ms |",
        "|---|---|---|---|---|",
    ]
    for name, r in ratios.items():
        span = f"{r['low']:.3f} - {r['high']:.3f}"
        lines.append(f"| {name} | {r['median']:.3f} | {span} | {r['ours_ms']:.0f} | {r['theirs_ms']:.0f} |")
    kernels = {shape: attention_ratio(shape) for shape in SHAPES}
    lines += ["", "bf16 attention on CPU, forward and backward, over PyTorch's fused kernel (the bare loop's):", ""]
    lines += ["| batch, heads, tokens, width | ratio | range | ms | fused ms |", "|---|---|---|---|---|"]
    for shape, k in kernels.items():
        where = ", ".join(map(str, shape))
        lines.append(f"| {where} | {k.median:.2f} | {k.low:.2f} - {k.high:.2f} | {k.ours_ms:.1f} | {k.theirs_ms:.1f} |")
    lines += ["", f"`coregpt --help`: {seconds:.2f} s (median of 9)", ""]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "overhead.md").write_text("\n".join(lines))
    attention = {"x".join(map(str, shape)): asdict(ratio) for shape, ratio in kernels.items()}
    record = {"facts": facts, "step": ratios, "attention_bf16_cpu": attention, "help_seconds": seconds}
    (RESULTS / "overhead.json").write_text(json.dumps(record, indent=2) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
