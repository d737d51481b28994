"""`python -m benchmarks.gpu_prices`: what techniques cost on a GPU, as time per token over the same GPT without them.

4 layers of 768, context 1,024, vocabulary 50,304, 524,288 tokens a step in passes of 8 rows, bf16, compiled; random
tokens from memory. Each model has a process of its own. They compile beside each other, which is most of the time, and
take turns to be measured: nothing compiles while one is timed. What a technique requires is on both sides. Each price
is written as soon as it is known. `--dry`: a tiny model on the CPU, whose numbers mean nothing. Writes
`benchmarks/results/gpu_prices.{json,md}`.
"""

import argparse
import contextlib
import fcntl
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import DRY, FULL, MEANINGLESS, Scale, ours, wall
from benchmarks.pages import RESULTS, measured_with, table, write
from benchmarks.prices import Plugins
from coregpt.lab.study.registry import Catalogue

TECHNIQUES: dict[str, dict[str, Any]] = {
    "softcap": {},
    "muon": {},
    "normuon": {},
    "ngpt": {},
    "moe": {},
    "value_embeddings": {},
    "unet_skips": {},
    "mtp": {},
    "ema": {},
    "window_warmup": {"step": 128},
}
SMALL = replace(FULL, shape=FULL.shape.model_copy(update={"depth": 4}), pass_rows=8, steps=6)
TINY = replace(DRY, shape=DRY.shape.model_copy(update={"context": 128}), moving={})
FEW = ("softcap", "normuon")
"""What a dry run prices: one by itself, and one that requires another."""
PLAIN = "plain"


def sides(name: str) -> tuple[Plugins, Plugins]:
    """With the technique, and with what it requires alone."""
    company: Plugins = {needed: TECHNIQUES.get(needed, {}) for needed in Catalogue().cls(name).requires}
    return {**company, name: TECHNIQUES[name]}, company


def key(plugins: Mapping[str, object]) -> str:
    return "+".join(sorted(plugins)) or PLAIN


@contextlib.contextmanager
def holding(lock: Path, how: int) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, how)
        yield


@dataclass(frozen=True)
class Measured:
    """One model."""

    tokens_per_second: float
    peak_bytes: int
    first_step_seconds: float


def measure(scale: Scale, plugins: Plugins, lock: Path) -> Measured:
    """Compiled while others compile, timed while all others wait."""
    with holding(lock, fcntl.LOCK_SH):
        made = list[Any]()
        first = wall(lambda: made.append(ours(scale, plugins)), scale.device)
        first += wall(made[0], scale.device)
        if scale.device == "cuda":
            torch.cuda.empty_cache()
    with holding(lock, fcntl.LOCK_EX):
        made[0]()
        seconds = statistics.median(wall(made[0], scale.device) for _ in range(scale.steps))
    peak = torch.cuda.max_memory_allocated() if scale.device == "cuda" else 0
    return Measured(scale.batch_rows * scale.shape.context / seconds, peak, first)


def page(record: dict[str, Any]) -> list[str]:
    models = record["models"]
    lines = ["# What techniques cost on one GPU", "", *(__doc__ or "").strip().split("\n")[2:], "", record["where"], ""]
    rows = []
    for name in record["techniques"]:
        with_it, without = (models.get(key(plugins)) for plugins in sides(name))
        if isinstance(with_it, str) or isinstance(without, str):
            why = with_it if isinstance(with_it, str) else f"{key(sides(name)[1])}: {without}"
            rows.append([name, f"not measured: {why}", "", "", ""])
        elif with_it and without:
            ratio = without["tokens_per_second"] / with_it["tokens_per_second"]
            memory = with_it["peak_bytes"] / max(without["peak_bytes"], 1)
            speed, compiling = f"{with_it['tokens_per_second']:,.0f}", f"{with_it['first_step_seconds']:.0f}"
            rows.append([name, f"{ratio:.3f}", f"{memory:.2f}", speed, compiling])
    return lines + table("technique|time per token|peak memory|tokens/s|seconds to the end of the first step", rows)


def started(name: str, plugins: Plugins, lock: Path, dry: bool) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.gpu_prices", "--one", json.dumps(plugins), "--lock", str(lock)]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *(["--dry"] if dry else [])], stdout=pipe, stderr=pipe, text=True)


def ended(process: "subprocess.Popen[str]") -> dict[str, Any] | str:
    """What it measured, or the last line of what went wrong."""
    out, err = process.communicate()
    if process.returncode:
        sys.stderr.write(err)
        return (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1][:200]
    return dict(json.loads(out.splitlines()[-1]))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_prices", description="What techniques cost.")
    parser.add_argument("--dry", action="store_true", help="tiny, on the CPU; writes nothing unless told where")
    parser.add_argument("--only", help="techniques, separated by commas")
    parser.add_argument("--out", type=Path, help="folder for the result (benchmarks/results)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--lock", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one is not None:
        print(json.dumps(vars(measure(TINY if options.dry else SMALL, json.loads(options.one), options.lock))))
        return {}
    if not options.dry and not torch.cuda.is_available():
        raise SystemExit("no usable GPU here; --dry runs a tiny model on the CPU")
    chosen = options.only.split(",") if options.only else list(FEW if options.dry else TECHNIQUES)
    out = options.out or (None if options.dry else RESULTS)
    record: dict[str, Any] = {"where": MEANINGLESS if options.dry else measured_with(), "techniques": chosen}
    record["models"] = {}
    needed = {key(plugins): plugins for name in chosen for plugins in reversed(sides(name))}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as alive:
        running = {}
        for name, plugins in needed.items():
            running[name] = process = started(name, plugins, Path(folder) / "lock", options.dry)
            alive.callback(process.kill)
        for name, process in running.items():
            record["models"][name] = ended(process)
            if out:
                write("gpu_prices", page(record), record, out)
    print("\n".join(page(record)))
    return record


if __name__ == "__main__":
    main()
