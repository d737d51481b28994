"""`python -m benchmarks.counting_cost`: what it costs a run that its work is counted and its surroundings are watched.

The baseline of `ablations/ngpt_vs_gpt.yaml` and the same with Muon, at laptop scale. A step that is counted and a plain
one take turns, in processor time of one thread. What every other step is asked, by two companions of core's own, is too
little for that and measured alone. A run has six counted steps at most; functions of torch and core are compared three
times, and a picture of them is taken once. The plan of a technique's updates is made by whoever reads the results, for
each counted step. Writes `benchmarks/results/counting_cost.{json,md}`.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks.measure import timed
from benchmarks.pages import measured_with, publish, table
from benchmarks.steps import Stepper
from benchmarks.study_rate import STUDY
from coregpt.contract.config import RunConfig
from coregpt.engine.arithmetic.platform import fast_precision, set_up_cpu
from coregpt.lab.guard.bound import Bound
from coregpt.lab.guard.work import DRAWN, Work
from coregpt.lab.planning.load import load
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.updates import Updates

COUNTED, COMPARED = 3 + DRAWN, 3
GOAL = 0.1
"""Share of a run's steps that all of this may cost, with the referee."""
CALLS = 200


def runs() -> dict[str, RunConfig]:
    """What is trained, by its name."""
    arm = load(STUDY, scale="laptop").arms[0].run
    made = arm.model_copy(update={"precision": fast_precision("cpu"), "compile": False})
    return {"GPT": made, "GPT with Muon": made.model_copy(update={"plugins": {**made.plugins, "muon": {}}})}


def counting(config: RunConfig, bound: Bound, sampled: bool) -> Stepper:
    """Steps of a run that are all counted, or none."""
    made = Stepper(config)
    work = Work(made.run, bound.refuse_in_step)
    work.looked, work.sampled = -1, set(range(made.run.timeline.steps)) if sampled else set()
    return made


def asked_ms(config: RunConfig, bound: Bound) -> float:
    """What a step that is not counted is asked."""
    run = counting(config, bound, sampled=False).run
    clock, nothing = run.timeline.clock(1), torch.zeros(0)

    def ask() -> None:
        for _ in range(CALLS):
            for companion in (run.companions[0], run.companions[-1]):
                companion.before_step(clock)
                companion.sees_batch(clock, nothing, nothing)
                companion.before_update(clock)
                companion.after_update(clock)

    return 1e3 * timed(ask) / CALLS


def step_ms(config: RunConfig, rounds: int, bound: Bound) -> dict[str, float]:
    """Median processor time of a plain and of a counted step, which take turns."""
    made: dict[str, Callable[[], object]] = {"plain": Stepper(config), "counted": counting(config, bound, sampled=True)}
    for step in made.values():
        step()
    taken: dict[str, list[float]] = {way: [] for way in made}
    for _ in range(rounds):
        for way, step in made.items():
            taken[way].append(1e3 * timed(step))
    return {way: statistics.median(each) for way, each in taken.items()}


def measure(config: RunConfig, rounds: int) -> dict[str, Any]:
    """Milliseconds by part, and the share of a run's steps that they come to."""
    set_up_cpu()
    bound = Bound.now()
    ms = {**step_ms(config, rounds, bound), "asked": asked_ms(config, bound)}
    steps = config.tokens // config.batch_tokens
    pictures = [1e3 * timed(Bound.now) for _ in range(5)]
    compared = [1e3 * timed(lambda: bound.refuse_in_step([], functions=True)) for _ in range(5)]
    plan = Updates(config, lambda: Catalogue().instances(config.plugins))
    planned = [1e3 * timed(partial(plan.products, step, step + 1)) for step in range(COUNTED)]
    spent = COUNTED * (ms["counted"] - ms["plain"]) + (steps - COUNTED) * ms["asked"]
    once = statistics.median(pictures) + COMPARED * statistics.median(compared)
    parts = {"picture_ms": statistics.median(pictures), "compared_ms": statistics.median(compared)}
    share = (spent + once) / (steps * ms["plain"])
    return {"steps": steps, "step_ms": ms, **parts, "plan_ms": statistics.median(planned[1:]), "share": share}


def page(found: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["# What counting costs", "", *(__doc__ or "").strip().split("\n")[2:], "", measured_with(), ""]
    rows = [
        [
            name,
            f"{each['steps']}",
            *(f"{each['step_ms'][way]:.2f}" for way in ("plain", "counted")),
            f"{1e3 * each['step_ms']['asked']:.0f}",
            f"{each['picture_ms']:.1f}",
            f"{each['compared_ms']:.1f}",
            f"{each['plan_ms']:.1f}",
            f"**{100 * each['share']:.2f}%**",
        ]
        for name, each in found.items()
    ]
    asked = "a plain step, ms|a counted one, ms|asked of others, µs"
    header = f"run|steps|{asked}|a picture, ms|a comparison, ms|an update's plan, ms|of the run's steps"
    return [*lines, *table(header, rows), "", f"The goal for this and the referee together is {100 * GOAL:g}%."]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counting_cost", description="What counting costs.")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each kind of step")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    found = {name: measure(config, options.rounds) for name, config in runs().items()}
    if options.dry:
        print("\n".join(page(found)))
    else:
        publish("counting_cost", page(found), found)


if __name__ == "__main__":
    main()
