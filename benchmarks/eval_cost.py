"""`python -m benchmarks.eval_cost`: what measuring the loss costs a run.

At the sizes of `ablations/ngpt_vs_gpt.yaml` on a laptop: one evaluation by CoreGPT beside the same tokens through the
plain model of `benchmarks/bare.py`, both in fp32 as every evaluation is, and the share of a run's time that its
evaluations take; below, the products that an evaluation makes. Processor time of one thread. Writes
`benchmarks/results/eval_cost.{json,md}`.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.bare import BareGPT
from benchmarks.kernels import product_ratio
from benchmarks.measure import Ratio, compare
from benchmarks.pages import publish, table
from benchmarks.steps import Stepper
from benchmarks.study_rate import shortened
from coregpt.contract.config import RunConfig
from coregpt.engine.training.outcome import SELECT
from coregpt.engine.training.trainer import EVAL_TOKENS
from coregpt.lab.planning.load import load

TOKENS = 143_360


@dataclass(frozen=True)
class EvalCost:
    """`over_bare` compares evaluations, `over_step` sets one of ours beside one of our training steps."""

    over_bare: Ratio
    over_step: Ratio
    share: float
    """Of a run's processor time."""


def plain_evaluation(config: RunConfig, stepper: Stepper) -> Callable[[], object]:
    """The mean loss of the same rows, as many at a time, without CoreGPT."""
    shape = config.model
    model = BareGPT(shape.vocab, shape.dim, shape.depth, shape.heads, shape.context)
    inputs, targets = stepper.trainer.eval_data[SELECT]
    rows = max(1, EVAL_TOKENS["cpu"] // shape.context)

    def evaluate() -> float:
        with torch.no_grad():
            passes = zip(inputs.split(rows), targets.split(rows), strict=True)
            return sum(float(model(x, y)) * len(x) for x, y in passes) / len(inputs)

    return evaluate


def share(evaluations: int, steps: int, over_step: float) -> float:
    """Of the time of `steps` steps and `evaluations` evaluations that each take `over_step` steps."""
    return evaluations * over_step / (evaluations * over_step + steps)


def eval_cost(config: RunConfig, pairs: int) -> EvalCost:
    torch.set_num_threads(1)
    stepper = Stepper(config)

    def ours() -> object:
        return stepper.trainer.measure(0)

    over_bare = compare(ours, plain_evaluation(config, stepper), pairs)
    over_step = compare(ours, stepper, pairs)
    evaluations = len(stepper.trainer.eval_steps) + 1  # the last time on both streams
    part = share(evaluations, stepper.run.timeline.steps, over_step.median)
    return EvalCost(over_bare, over_step, part)


CHOICES = ((20, 32_768), (7, 32_768), (7, 16_384), (4, 16_384))
"""`evals` and `eval_tokens` among which the defaults were chosen."""


def choices(over_step: float, eval_tokens: int, steps: int) -> list[list[str]]:
    """The share of a run for each choice; `over_step` is an evaluation of `eval_tokens` over a step."""
    return [
        [str(evals), f"{tokens:,}", f"{share(evals + 1, steps, over_step * tokens / eval_tokens):.0%}"]
        for evals, tokens in CHOICES
    ]


def show_defaults(pairs: int) -> None:
    """For a run in which nothing is set."""
    torch.set_num_threads(1)
    stepper = Stepper(RunConfig())
    ratio = compare(lambda: stepper.trainer.measure(0), stepper, pairs)
    cells = choices(ratio.median, stepper.run.config.eval_tokens, stepper.run.timeline.steps)
    print("\n".join(table("evals|eval_tokens|share of a run", cells)))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eval_cost", description="What evaluations cost.")
    parser.add_argument("--pairs", type=int, default=4, help="alternating pairs in each of 5 repetitions")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--defaults", action="store_true", help="only what a run costs in which nothing is set")
    options = parser.parse_args(argv)
    if options.defaults:
        show_defaults(options.pairs)
        return
    with tempfile.TemporaryDirectory() as folder:
        arms = load(shortened(Path(folder), TOKENS)).arms
    cells, record = [], {}
    for arm in arms:
        for precision in ("fp32", "bf16"):
            found = eval_cost(arm.run.model_copy(update={"precision": precision}), options.pairs)
            bare, step = found.over_bare, found.over_step
            ratios = [f"{r.median:.2f} ({r.low:.2f} - {r.high:.2f})" for r in (bare, step)]
            cells.append([f"{arm.name}, trained in {precision}", *ratios, f"{bare.ours_ms:.0f}", f"{found.share:.1%}"])
            record[f"{arm.name} {precision}"] = asdict(found)
    run = arms[0].run
    lines = ["# What measuring the loss costs", "", *(__doc__ or "").strip().split("\n")[2:], ""]
    lines += [f"{run.evals + 1} evaluations of {run.eval_tokens:,} tokens in a run of {run.tokens:,} tokens.", ""]
    lines += table("arm|evaluation / plain GPT's|evaluation / training step|ms|share of a run", cells)
    rows, dim = EVAL_TOKENS["cpu"], run.model.dim
    shapes = [(rows, dim, dim), (rows, dim, 4 * dim), (rows, 4 * dim, dim), (rows, dim, run.model.vocab)]
    products = {shape: product_ratio(*shape) for shape in shapes}
    lines += ["", "Projections of an evaluation over PyTorch's own, both fp32:", ""]
    cells = [
        [
            f"{m:,} x {k} to {n}",
            f"{r.median:.2f} ({r.low:.2f} - {r.high:.2f})",
            *(f"{2e-6 * m * k * n / ms:.0f}" for ms in (r.ours_ms, r.theirs_ms)),
        ]
        for (m, k, n), r in products.items()
    ]
    lines += table("tokens x width to width|time|GFLOP/s|PyTorch's GFLOP/s", cells)
    if options.dry:
        print("\n".join(lines))
    else:
        each = [{"shape": shape, **asdict(ratio)} for shape, ratio in products.items()]
        publish("eval_cost", lines, {"arms": record, "products": each})


if __name__ == "__main__":
    main()
