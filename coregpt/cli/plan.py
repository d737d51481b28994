"""`coregpt plan`: what a study will cost, what differs between its arms, and what it can detect."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from coregpt.cli.ablate import load_studies
from coregpt.cli.screen import say, table
from coregpt.lab.declaration import TOLERANCE
from coregpt.lab.differences import changes, differences
from coregpt.lab.noise import recorded
from coregpt.lab.probe import tokens_per_second
from coregpt.lab.progress import duration
from coregpt.lab.sizes import check_order
from coregpt.lab.slots import find_slots
from coregpt.lab.store import RunFolder
from coregpt.lab.study import Outline, Plan, outline, plan
from coregpt.lab.tasks import left
from coregpt.report.noise import NoiseReport
from coregpt.stats.design import choose_test
from coregpt.stats.power import detectable, difference_sd

START_SECONDS = 5.0
"""Starting a process and importing torch."""
EVAL_COST = 1 / 3
"""An evaluated token costs a forward pass, a trained one also the backward pass."""
DEFAULT_SD = 0.01
ENOUGH_RUNS = 3


def show_plan(path: Path, scale: str | None, store: Path, jobs: int | None) -> int:
    """Print the plan. Nothing is written and nothing is trained but a short probe.

    A study that cannot run here (data or GPU missing) is shown as far as possible, then the reason is raised.
    """
    outlines = [outline(study) for study in load_studies(path, scale)]
    check_order(outlines)
    say(outlines[0].study.question)
    for made in outlines:
        show_study(made, store, jobs)
    return 0


def show_study(made: Outline, store: Path, jobs: int | None) -> None:
    """The plan of one study; of a study with sizes, that of one size."""
    study = made.study
    if study.size:
        say(f"\nsize {study.size}")
    if study.scale:
        say(f"scale {study.scale}")
    for line in ("", *arms_table(made), held_equal(made), "", *differing(made)):
        say(line)
    for line in ("", f"preregistration {study.digest}", ""):
        say(line)
    ready = plan(made)
    for line in (*test_lines(ready, store), "", *time_lines(ready, store, jobs)):
        say(line)


def arms_table(made: Outline) -> list[str]:
    """Size and budget of each arm, and what it changes."""
    rows = [["arm", "parameters", "FLOPs/token", "steps", "tokens", "FLOPs/run", "changes"]]
    for arm in made.study.arms:
        cost = made.costs[arm.name]
        sizes = [f"{cost.parameters:,}", f"{cost.flops_per_token:.3g}", f"{cost.steps:,}", f"{cost.tokens:,}"]
        rows.append([arm.name, *sizes, f"{cost.flops:.3g}", changes(arm, made.baseline)])
    runs = len(made.study.arms) * len(made.study.seeds)
    return [*table(rows), f"{runs} runs, {made.flops:.3g} training FLOPs in all", *fork_lines(made)]


def fork_lines(made: Outline) -> list[str]:
    """Where the arms of a fork branch, and what that saves; nothing for other studies."""
    if not made.fork_step:
        return []
    steps, seeds = made.costs[made.baseline.name].steps, len(made.study.seeds)
    whole = sum(cost.flops for cost in made.costs.values()) * seeds
    return [
        f"Fork: one trunk per seed, {seeds} in all, is trained as {made.baseline.name} to step {made.fork_step:,} of "
        f"{steps:,}; every arm branches there.",
        f"That is {made.flops / whole:.0%} of the {whole:.3g} FLOPs of separate runs. Arms can differ only in what "
        "they do after the fork, and a verdict speaks about nothing else.",
        "Branches of one trunk mostly differ less than separate runs: a spread taken from those is cautious here.",
    ]


def held_equal(made: Outline) -> str:
    """What every arm may spend the same amount of, and how equal it came out."""
    axis = made.study.equal
    if axis == "seconds":
        return (
            f"Held equal: seconds, measured after the runs; arms that differ by more than {TOLERANCE:.0%} are "
            "listed in the report"
        )
    spent = [made.spent(arm.name, axis) for arm in made.study.compared]
    apart = max(spent) / min(spent) - 1
    return f"Held equal: {axis}, " + (f"within {apart:.2%} between arms" if apart else f"{spent[0]:.6g} in every arm")


def differing(made: Outline) -> list[str]:
    """Settings that are not the technique and yet not equal."""
    found = differences(made.study, made.derived)
    if not found:
        return ["Nothing differs between the arms but the technique."]
    names = [arm.name for arm in made.study.compared]
    rows = [[key, *(values[name] for name in names)] for key, values in found]
    return ["Differs beyond the technique:", *table([["setting", *names], *rows])]


def test_lines(made: Plan, store: Path) -> list[str]:
    """The test, why it was chosen, and the smallest difference it can be expected to find."""
    study, test = made.study, made.study.criterion
    n, arms = len(study.seeds), len(study.compared) - 1
    borrowed = study.borrowed.df if study.borrowed else 0.0
    design = choose_test(n, arms, screen=test.screen is not None, borrowed_df=borrowed)
    sd, origin = noise(made, store)
    level = test.alpha if test.screen is None else test.screen
    lines = [f"Test: {design.name}, {'alpha' if test.screen is None else 'rate'} {level:g}: {design.reason}."]
    if design.screens:
        lines.append("No arm will be called better or worse: plan a second study of those passed on, on fresh seeds.")
    smallest = detectable(design, sd, level, test.power)
    if smallest is None:
        return [*lines, "This design can only end inconclusive; plan more seeds."]
    unit = f"nats per {made.source.unit}"
    detects = f"{n} seeds detect a difference of {smallest:.2g} {unit} with probability {test.power:g}"
    lines.append(f"{detects}; sd of a paired difference {sd:.2g} ({origin}).")
    if smallest > test.margin:
        lines.append(
            f"That is more than the margin of {test.margin:g}: smaller true differences may stay inconclusive."
        )
    return lines


def noise(made: Plan, store: Path) -> tuple[float, str]:
    """Standard deviation of a per-seed difference, and where the number comes from."""
    values = final_values(made, store)
    baseline = values.pop(made.baseline.name)
    values.pop(made.study.yardstick, None)
    variances = []
    for own in values.values():
        pairs = [own[seed] - baseline[seed] for seed in sorted(own.keys() & baseline.keys())]
        if len(pairs) >= ENOUGH_RUNS:
            variances.append(statistics.variance(pairs))
    if variances:
        return statistics.mean(variances) ** 0.5, "from earlier runs of these arms"
    if made.study.borrowed is not None:
        return made.study.borrowed.prior.variance**0.5, "from the declared history"
    facts = recorded(made, store)
    if facts is not None:
        measured, runs = NoiseReport.model_validate(facts), len(facts["run_ids"])
        cautious, hopeful = measured.unpaired.sd, measured.best_paired.sd
        return cautious, f"from {runs} runs of `coregpt noise`, as if unpaired; pairing can bring it to {hopeful:.2g}"
    if len(baseline) >= ENOUGH_RUNS:
        sd = statistics.stdev(baseline.values())
        return difference_sd(sd), f"from {len(baseline)} earlier runs of the baseline, as if unpaired"
    if made.study.criterion.sd is not None:
        return made.study.criterion.sd, "assumed in the study"
    return DEFAULT_SD, "assumed; set test.sd"


def final_values(made: Plan, store: Path) -> dict[str, dict[int, float]]:
    """Final metric of every finished run, by arm and seed."""
    found: dict[str, dict[int, float]] = {arm.name: {} for arm in made.study.arms}
    for run in made.runs:
        result = RunFolder(store / run.id).result()
        if result is not None and result["value"] is not None:
            found[run.arm][run.seed] = float(result["value"])
    return found


@dataclass(frozen=True)
class Speed:
    """Training speed of the baseline, and how it is known."""

    tokens_per_second: float
    origin: str


def time_lines(made: Plan, store: Path, jobs: int | None) -> list[str]:
    """Wall time of the missing runs on this machine, other arms scaled by their FLOPs."""
    todo = left(made, store)
    if not todo:
        return [f"All {len(made.runs)} runs are complete."]
    slots = len(find_slots(todo[0].config.device, made.study.gpus_per_run, jobs))
    speed = measure(made, store)
    baseline = made.costs[made.baseline.name]
    total = 0.0
    for run in todo:
        cost = made.cost(run.arm)
        evaluated = run.config.eval_tokens * (run.config.evals + 1) * EVAL_COST
        per_token = cost.flops_per_token / baseline.flops_per_token / speed.tokens_per_second
        total += (cost.tokens + evaluated) * made.share(run) * per_token + START_SECONDS
    rounds = max(total / min(slots, len(todo)), total / len(todo))
    return [
        f"Time: about {duration(rounds)} for {len(todo)} runs, {min(slots, len(todo))} at a time "
        f"({speed.tokens_per_second:,.0f} tokens/s per run, {speed.origin})."
    ]


def measure(made: Plan, store: Path) -> Speed:
    """From earlier runs of the baseline, else from a probe that does not compile."""
    baseline = [run for run in made.runs if run.arm == made.baseline.name]
    results = [RunFolder(store / run.id).result() for run in baseline]
    earlier = [r["tokens_per_second"] for r in results if r and r["tokens_per_second"]]
    if earlier:
        return Speed(statistics.median(earlier), "from earlier runs")
    config = baseline[0].config
    found = tokens_per_second(config, made.study.catalogue.instances(config.plugins))
    return Speed(found, "from a short probe of the baseline" + (", uncompiled" if config.compile else ""))
