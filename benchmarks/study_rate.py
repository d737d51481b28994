"""`python -m benchmarks.study_rate`: runs per hour of a whole study, `coregpt ablate` against doing it by hand.

The 12 runs of `ablations/ngpt_vs_gpt.yaml` at laptop scale, with fewer tokens unless told otherwise: on all cores, with
`--jobs 1`, and as a plain loop of `benchmarks/bare.py` in fp32, one run after the other. The loop trains 12 GPTs of the
same size on as many tokens with the same evaluations (nGPT, which half of the study's runs are, would take it longer),
with one thread or as many as there are cores, whichever is faster, and imports torch once; one run of it is timed and
counts twelve times. Wall time, start to report; rounds alternate, and ratios are taken within a round, so that a busy
hour stretches both sides. Writes `benchmarks/results/study_rate.{json,md}`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.bare import BareGPT, BareLoop
from benchmarks.pages import publish, table
from coregpt.contract.config import RunConfig
from coregpt.engine.data import RowOrder, eval_rows, open_source
from coregpt.engine.trainer import EVAL_TOKENS
from coregpt.lab.config import load
from coregpt.lab.slots import cores

STUDY = Path(__file__).parent.parent / "ablations" / "ngpt_vs_gpt.yaml"
TOKENS = 40_960
GOALS = {"jobs 1": 1.9, "bare": 5.0}


def shortened(folder: Path, tokens: int, changes: Mapping[str, Any] | None = None) -> Path:
    """The study at laptop scale with `tokens` a run, evaluated as often as whole runs are for each token."""
    body = yaml.safe_load(STUDY.read_text())
    laptop = body.pop("scales")["laptop"]
    laptop["evals"] = max(1, round(laptop["evals"] * tokens / laptop["tokens"]))
    body["base"] = {**body["base"], **laptop, "tokens": tokens, "device": "cpu", **(changes or {})}
    path = folder / STUDY.name
    path.write_text(yaml.safe_dump(body, sort_keys=False))
    return path


def ablate(study: Path, jobs: int) -> float:
    """Wall seconds of the whole command with empty run folders."""
    with tempfile.TemporaryDirectory() as folder:
        places = ["--runs", f"{folder}/runs", "--reports", f"{folder}/reports"]
        command = [sys.executable, "-m", "coregpt.cli", "ablate", str(study), *places, "--jobs", str(jobs)]
        begun = time.perf_counter()
        subprocess.run([*command, "--no-mlflow"], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun


def bare(config: RunConfig, threads: int) -> float:
    """Wall seconds of one run of the plain loop; evaluation in fp32 on the rows that the study's runs see."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    shape, source = config.model, open_source(config.data.source)
    begun = time.perf_counter()
    loop = BareLoop(BareGPT(shape.vocab, shape.dim, shape.depth, shape.heads, shape.context), bf16=False)
    order = RowOrder(source.train, shape.context, config.data_seed)
    held, answers = eval_rows(source.val, shape.context, config.eval_tokens)
    rows, steps = config.batch_tokens // shape.context, config.tokens // config.batch_tokens
    at_once = EVAL_TOKENS["cpu"] // shape.context
    evaluated = {round(i * steps / config.evals) for i in range(config.evals + 1)}
    for step in range(steps + 1):
        if step in evaluated:
            with torch.no_grad():
                for x, y in zip(held.split(at_once), answers.split(at_once), strict=True):
                    loop.model(x, y).item()
        if step < steps:
            loop.step(*order.rows(step * rows, rows))
    seconds = time.perf_counter() - begun
    torch.set_num_threads(before)
    return seconds


@dataclass(frozen=True)
class Round:
    """Wall seconds of the three ways, for the whole study."""

    all_cores: float
    one_job: float
    bare: float


def one_round(study: Path, config: RunConfig, runs: int, workers: int) -> Round:
    """The study in the middle of what it is compared with."""
    first = [bare(config, threads) for threads in (1, workers)]
    parallel, single = ablate(study, workers), ablate(study, 1)
    second = [bare(config, threads) for threads in (1, workers)]
    fastest = min((a + b) / 2 for a, b in zip(first, second, strict=True))
    return Round(parallel, single, runs * fastest)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study_rate", description="Runs per hour of a study.")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of each run; the study itself has 143360")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(argv)
    workers = cores()
    with tempfile.TemporaryDirectory() as folder:
        path = shortened(Path(folder), options.tokens)
        study = load(path)
        runs = len(study.arms) * len(study.seeds)
        config = study.arms[0].run
        rounds = [one_round(path, config, runs, workers) for _ in range(options.rounds)]
    seconds = {
        f"`coregpt ablate`, {workers} at a time": [r.all_cores for r in rounds],
        "`coregpt ablate --jobs 1`": [r.one_job for r in rounds],
        "bare loop, fp32": [r.bare for r in rounds],
    }
    ratios = {"jobs 1": [r.one_job / r.all_cores for r in rounds], "bare": [r.bare / r.all_cores for r in rounds]}
    lines = ["# Runs per hour of a study", "", *(__doc__ or "").strip().split("\n")[2:], ""]
    lines += [f"{runs} runs of {options.tokens:,} tokens and {config.evals + 1} evaluations, {workers} cores.", ""]
    rows = [
        [name, f"{statistics.median(s):.1f}", f"{3600 * runs / statistics.median(s):,.0f}"]
        for name, s in seconds.items()
    ]
    lines += table("way|seconds (median)|runs per hour", rows)
    lines += ["", "How many times as fast `coregpt ablate` on all cores is:", ""]
    cells = [
        [name, f"{statistics.median(r):.2f}", f"{min(r):.2f} - {max(r):.2f}", f"at least {GOALS[name]:g}"]
        for name, r in ratios.items()
    ]
    lines += table("against|ratio (median)|range|goal", cells)
    if options.dry:
        print("\n".join(lines))
    else:
        publish("study_rate", lines, {"tokens": options.tokens, "runs": runs, "seconds": seconds, "ratios": ratios})


if __name__ == "__main__":
    main()
