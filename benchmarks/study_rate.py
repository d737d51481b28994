"""`python -m benchmarks.study_rate`: runs per hour of a whole study, `coregpt ablate` against doing it by hand.

Two studies of 12 runs: `ablations/ngpt_vs_gpt.yaml` at laptop scale, and two learning rates of the plain GPT of
`python -m benchmarks`, which are exactly the runs of the plain loop. On all cores, with `--jobs 1`, and as a plain loop
of `benchmarks/bare.py` in fp32, one run after the other, with the same steps and evaluations. For nGPT, half of the
first study's runs, the loop trains a GPT, which is faster. It has one thread, or as many as there are cores, or there
is one loop on each core, which shows what cores that share a memory are worth. It imports torch once; one run of it is
timed and counts twelve times. Wall time, start to report; rounds alternate, and ratios are taken within a round, so
that a busy hour stretches both sides. Writes `benchmarks/results/study_rate.{json,md}`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.bare import BareGPT, BareLoop
from benchmarks.overhead import ROWS, SHAPE
from benchmarks.pages import publish, table
from coregpt.contract.config import RunConfig
from coregpt.engine.data import RowOrder, eval_rows, open_source
from coregpt.engine.training.trainer import EVAL_TOKENS
from coregpt.lab.execute.slots import cores
from coregpt.lab.planning.load import load

STUDY = Path(__file__).parent.parent / "ablations" / "ngpt_vs_gpt.yaml"
TOKENS = 143_360
RATES_TOKENS = 655_360
OURS, ONE_JOB, BARE = "`coregpt ablate`, all cores", "`coregpt ablate --jobs 1`", "bare loop in fp32, threads: {}"
BESIDE = "bare loops in fp32, one on each core"
GOALS = {BESIDE: 1.5, BARE.format(1): 3.0}
"""How many times as fast as each way a study on all cores is to be."""
SHARE = 0.95
"""Of what bare loops gain from one on each core, how much a study is to gain from all cores."""


def shortened(folder: Path, tokens: int, changes: Mapping[str, Any] | None = None) -> Path:
    """The study at laptop scale with `tokens` a run, evaluated as often as whole runs are for each token.

    At the rates of its base: those that were found for whole runs are no rates of shorter ones, and cost the same.
    """
    body = yaml.safe_load(STUDY.read_text())
    for of_whole_runs in ("tuned", "earlier"):
        del body[of_whole_runs]
    laptop = body.pop("scales")["laptop"]
    laptop["evals"] = max(1, round(laptop["evals"] * tokens / laptop["tokens"]))
    body["base"] = {**body["base"], **laptop, "tokens": tokens, "device": "cpu", **(changes or {})}
    path = folder / STUDY.name
    path.write_text(yaml.safe_dump(body, sort_keys=False))
    return path


def two_rates(folder: Path, tokens: int) -> Path:
    """A study of plain GPTs, evaluated at the start, in the middle and at the end."""
    base = {
        "data": {"source": "pydocs"},
        "model": SHAPE.model_dump(exclude_none=True),
        "tokens": tokens,
        "batch_tokens": ROWS * SHAPE.context,
        "eval_tokens": 16_384,
        "evals": 2,
        "device": "cpu",
    }
    body = {
        "question": "Does a plain GPT want a higher learning rate?",
        "base": base,
        "arms": {"low": {"optim": {"lr": 0.001}}, "high": {"optim": {"lr": 0.002}}},
        "seeds": 6,
        "test": {"metric": "val_loss", "baseline": "low", "alpha": 0.05, "margin": 0.01},
    }
    path = folder / "two_rates.yaml"
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
    select, held_out = (eval_rows(each, shape.context, config.eval_tokens) for each in (source.select, source.held_out))
    rows, steps = config.batch_tokens // shape.context, config.tokens // config.batch_tokens
    at_once = EVAL_TOKENS["cpu"] // shape.context
    evaluated = {round(i * steps / config.evals) for i in range(config.evals + 1)}
    for step in range(steps + 1):
        for inputs, targets in (select, *([held_out] if step == steps else [])) if step in evaluated else ():
            with torch.no_grad():
                for x, y in zip(inputs.split(at_once), targets.split(at_once), strict=True):
                    loop.model(x, y).item()
        if step < steps:
            loop.step(*order.rows(step * rows, rows))
    seconds = time.perf_counter() - begun
    torch.set_num_threads(before)
    return seconds


def beside(config: RunConfig, loops: int) -> float:
    """Wall seconds of one run of the plain loop with one thread while others do the same; their mean."""
    with ProcessPoolExecutor(loops, mp_context=get_context("spawn")) as pool:
        return statistics.mean(pool.map(bare, [config] * loops, [1] * loops))


def one_round(study: Path, config: RunConfig, runs: int, workers: int) -> dict[str, float]:
    """Wall seconds of each way; the study in the middle of what it is compared with."""
    threads = sorted({1, workers})
    first = [bare(config, count) for count in threads]
    found = {OURS: ablate(study, workers), ONE_JOB: ablate(study, 1)}
    second = [bare(config, count) for count in threads]
    found[BESIDE] = runs * beside(config, workers) / workers
    both = zip(threads, first, second, strict=True)
    return {**found, **{BARE.format(count): runs * (a + b) / 2 for count, a, b in both}}


def jobs_share(each: Mapping[str, float]) -> float:
    """The gain of a study from all cores, in units of that of bare loops."""
    return (each[ONE_JOB] / each[OURS]) / (each[BARE.format(1)] / each[BESIDE])


def timed(path: Path, rounds: int, workers: int) -> tuple[list[str], dict[str, Any]]:
    """Lines and record of one study."""
    study = load(path)
    runs, config = len(study.arms) * len(study.seeds), study.arms[0].run
    found = [one_round(path, config, runs, workers) for _ in range(rounds)]
    lines = [f"## {path.stem}", "", f"{runs} runs of {config.tokens:,} tokens in steps of {config.batch_tokens:,},"]
    lines += [f"{config.evals + 1} evaluations on {config.eval_tokens:,} tokens each, {workers} cores.", ""]
    rows = []
    for way in found[0]:
        seconds = statistics.median(each[way] for each in found)
        ratios = [each[way] / each[OURS] for each in found]
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})" if way != OURS else ""
        goal = f"at least {GOALS[way]:g}" if way in GOALS else ""
        rows.append([way, f"{seconds:.1f}", f"{3600 * runs / seconds:,.0f}", told, goal])
    lines += [*table("way|seconds (median)|runs per hour|all cores are times as fast|goal", rows), ""]
    gained = [jobs_share(each) for each in found]
    told = f"{statistics.median(gained):.2f} ({min(gained):.2f} - {max(gained):.2f})"
    lines += [f"All cores gain over one job {told} of what bare loops gain from one on each core; goal {SHARE:g}.", ""]
    return lines, {"tokens": config.tokens, "runs": runs, "rounds": found}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study_rate", description="Runs per hour of a study.")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of ngpt_vs_gpt's runs")
    parser.add_argument("--rates-tokens", type=int, default=RATES_TOKENS, help="of the runs with two learning rates")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(argv)
    workers, record = cores(), dict[str, Any]()
    lines = ["# Runs per hour of a study", "", *(__doc__ or "").strip().split("\n")[2:], ""]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (shortened(folder, options.tokens), two_rates(folder, options.rates_tokens)):
            found, record[path.stem] = timed(path, options.rounds, workers)
            lines += found
    if options.dry:
        print("\n".join(lines))
    else:
        publish("study_rate", lines[:-1], record)


if __name__ == "__main__":
    main()
