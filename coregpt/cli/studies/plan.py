"""`coregpt plan`: what a study will cost, what differs between its arms, and what it can detect."""

import json
from collections.abc import Mapping
from pathlib import Path

from coregpt.cli.screen import say, table
from coregpt.cli.studies.costs import Asked, kept_lines, time_lines
from coregpt.cli.studies.loading import sound_studies
from coregpt.cli.studies.plan_data import plan_data
from coregpt.cli.studies.trials import stages_of, trial_lines
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs import DESIGNS
from coregpt.lab.execute.repeats import repeats
from coregpt.lab.planning import chain, split
from coregpt.lab.planning.affordable import Stage, affordable
from coregpt.lab.planning.credit import Kind, credited, departures
from coregpt.lab.planning.enough import pass_lines
from coregpt.lab.planning.forecast import forecast
from coregpt.lab.planning.measured import measured
from coregpt.lab.planning.plans import outlines, refuse_no_gpu
from coregpt.lab.planning.power import Power, power_of
from coregpt.lab.planning.preregister import older_lines
from coregpt.lab.planning.untuned import untuned
from coregpt.lab.records.ledger import LedgerError
from coregpt.lab.study.code import beyond
from coregpt.lab.study.declaration import TOLERANCE, Study
from coregpt.lab.study.differences import changes
from coregpt.lab.study.evaluating import asked_of
from coregpt.lab.study.idle.inert import told_idle
from coregpt.lab.study.idle.known import Known
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Outline, Plan
from coregpt.report.drawing.units import with_unit


def show_plan(path: Path, scale: str | None, asked: Asked, as_json: bool = False) -> int:
    """Print the plan. Nothing is written and nothing is trained but a short probe.

    A study that no GPU here can run is shown as far as possible, then that is raised; anything else is raised at once.
    """
    studies, idle = sound_studies(path, scale, asked.store)
    found = outlines(measured(studies, asked.store, record=False))
    if as_json:
        stages = [
            (stage, each) for made, each in zip(found, idle, strict=True) for stage in stages_of(made, asked.store)
        ]
        say(json.dumps([plan_data(stage, asked, each) for stage, each in stages], indent=1, ensure_ascii=False))
        return 0
    for number, (made, each) in enumerate(zip(found, idle, strict=True)):
        show_study(made, asked, each, made.study.question if number == 0 else "")
    return 0


def show_study(made: Outline, asked: Asked, idle: Known, question: str) -> None:
    """The plan of one study, below its question; of a study with sizes, that of one size."""
    study = made.study
    elsewhere = not_here(study)
    stages = [] if elsewhere else stages_of(made, asked.store)
    if question:
        say(question)
    if study.member:
        say(f"\nsize {study.member}")
    if study.scale:
        say(f"scale {study.scale}")
    if question and study.systems:
        say(f"Of the source, but not here, since it changes no number: {'; '.join(study.systems)}")
    before: list[Stage] = []
    if len(stages) > 1:
        trials, test = stages
        before = [(trials, forecast(trials, asked.store, asked.jobs))]
        for line in trial_lines(study, trials, asked):
            say(line)
        made = test
    says = told_idle(study, idle)
    for line in ("", *arms_table(made), held_equal(made), *told(made), *says, "", *differing(made), *warned(made)):
        say(line)
    for line in ("", f"preregistration {study.digest}", ""):
        say(line)
    if elsewhere:
        raise ConfigError(elsewhere)
    if asked_of(study) is not None:
        from coregpt.cli.studies.evaluating import refuse_unmeasurable

        refuse_unmeasurable(stages[-1])
    ready, decided = split.with_split(stages[-1], asked.store)
    of_runs = (*not_counted(ready, asked), *repeats(ready, asked.store))
    for line in filter(None, (ready.place(), *pass_lines(ready), *of_runs)):
        say(line)
    expected = forecast(ready, asked.store, asked.jobs)
    power = power_of(ready, asked.store)
    lines = (
        *test_lines(ready, power),
        *chain_lines(ready, power.sd, asked),
        "",
        *time_lines(ready, expected, asked.price),
    )
    lines = (*lines, *affordable([*before, (ready, expected)], asked.store).lines())
    lines = (*lines, *split_lines(ready, decided), *kept_lines(ready, asked.store))
    for line in lines:
        say(line)


def not_here(study: Study) -> str:
    """Why a study cannot run on this machine although nothing is wrong with it; empty if it can."""
    try:
        refuse_no_gpu(study, "")
    except ConfigError as error:
        return str(error)
    return ""


def chain_lines(ready: Plan, sd: float, asked: Asked) -> list[str]:
    """The level of a study among all on its baseline; nothing where the ledger cannot be read: ablate will say it."""
    try:
        found = chain.standing(ready, sd, asked.store)
    except LedgerError:
        return []
    return chain.told(found, ready.study, ready.unit) if found else []


def not_counted(ready: Plan, asked: Asked) -> list[str]:
    """Runs of an older identity; nothing where the ledger cannot be read, which ablate will say."""
    try:
        return older_lines(ready, asked.store)
    except LedgerError:
        return []


def arms_table(made: Outline) -> list[str]:
    """Size and budget of each arm, and what it changes."""
    if foreign(made.baseline.run) is not None:
        each = [[arm.name, changes(arm, made.baseline, made.study.arms)] for arm in made.study.arms]
        runs = len(made.study.arms) * len(made.study.seeds)
        return [*table([["arm", "changes"], *each]), f"{runs} runs of a program"]
    rows = [["arm", "parameters", "FLOPs/token", "steps", "tokens", "FLOPs/run", "changes"]]
    for arm in made.study.arms:
        cost = made.costs[arm.name]
        sizes = [f"{cost.parameters:,}", f"{cost.flops_per_token:.3g}", f"{cost.steps:,}", f"{cost.tokens:,}"]
        rows.append([arm.name, *sizes, f"{cost.flops:.3g}", changes(arm, made.baseline, made.study.arms)])
    runs = len(made.study.arms) * len(made.study.seeds)
    return [*table(rows), *stages_table(made), f"{runs} runs, {made.flops:.3g} training FLOPs in all"]


def stages_table(made: Outline) -> list[str]:
    """What a token costs in each part of a run, for arms in which that changes."""
    rows = [["arm", "steps", "sequence", "tokens", "FLOPs/token"]]
    for arm in made.study.arms:
        stages = made.costs[arm.name].stages
        for stage in stages if len(stages) > 1 else ():
            sizes = [f"{stage.steps:,}", f"{stage.length:,}", f"{stage.tokens:,}", f"{stage.flops_per_token:.3g}"]
            rows.append([arm.name, *sizes])
    return ["", *table(rows), ""] if len(rows) > 1 else []


def held_equal(made: Outline) -> str:
    """What every arm may spend the same amount of, and how equal it came out."""
    axis = made.study.equal
    if foreign(made.baseline.run) is not None:
        return "Held equal: nothing by us; what the program spends is as it says, and seconds are measured"
    if axis == "seconds":
        return (
            f"Held equal: seconds, measured after the runs; arms that differ by more than {TOLERANCE:.0%} are "
            "listed in the report"
        )
    spent = [made.spent(arm.name, axis) for arm in made.study.compared]
    apart = max(spent) / min(spent) - 1
    return f"Held equal: {axis}, " + (f"within {apart:.2%} between arms" if apart else f"{spent[0]:.6g} in every arm")


def told(made: Outline) -> list[str]:
    """What designs say of the arms."""
    return [line for design in DESIGNS for line in design.told(made)]


def differing(made: Outline) -> list[str]:
    """What is not equal in all arms, and what it counts as."""
    found = credited(made)
    if not found:
        return ["Nothing differs between the arms but the technique."]
    names = [arm.name for arm in made.study.compared]
    rows = [[each.setting, *(each.values[name] for name in names), counts_as(each.why)] for each in found]
    return ["Differs beside the technique:", *table([["setting", *names, "counts as"], *rows])]


def counts_as(why: Mapping[str, Kind]) -> str:
    """One word, or one for each arm where they differ."""
    words = {arm: "confound" if kind == "rest" else kind for arm, kind in why.items()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{arm}: {word}" for arm, word in words.items())


def warned(made: Outline) -> list[str]:
    """What will weigh on the verdict, told while it can be changed."""
    study = made.study
    used = sorted({name for arm in study.arms for name in arm.run.plugins})
    lines = [f"warning: {line}" for line in (*departures(made), *beyond.told(study.catalogue, used))]
    by_words: dict[str, list[str]] = {}
    for arm, words in untuned(made).items():
        by_words.setdefault(words, []).append(arm)
    for words, arms in by_words.items():
        verb = "is" if len(arms) == 1 else "are"
        lines.append(
            f"warning: {', '.join(arms)} {verb} compared {words}, and may have the best one elsewhere: the verdict "
            "will begin with that. 'bracket: {}' finds each arm's own first."
        )
    return lines


def test_lines(made: Plan, found: Power) -> list[str]:
    """The test, why it was chosen, and the smallest difference it can be expected to find."""
    test, design = made.study.criterion, found.design
    if test.pilot:
        return ["Pilot: these runs end without a verdict, whatever they show."]
    word = "alpha" if test.screen is None else "rate"
    lines = [f"Test: {design.name}, {word} {found.level:g}: {design.reason}."]
    if design.screens:
        lines.append("No arm will be called better or worse: plan a second study of those passed on, on fresh seeds.")
    if found.detectable is None:
        return [*lines, "This design can only end inconclusive; plan more seeds."]
    detectable, n = with_unit(f"{found.detectable:.2g}", made.unit), len(made.study.seeds)
    detects = f"{n} seeds detect a difference of {detectable} with probability {test.power:g}"
    lines.append(f"{detects}; sd of a paired difference {found.sd:.2g} ({found.origin}).")
    lines += [line for each in DESIGNS for line in each.told_of_test(made, found.sd)]
    if found.detectable > test.margin:
        lines.append(
            f"That is more than the margin of {test.margin:g}: smaller true differences may stay inconclusive."
        )
    return lines


def split_lines(made: Plan, found: split.Split | None) -> list[str]:
    """How GPUs are shared, where the study leaves that to a measurement."""
    if not made.study.splits:
        return []
    if found is not None:
        return found.lines()
    if made.runs[0].config.device not in split.ACCELERATORS:
        return ["GPUs per run: auto, and there is no GPU: a run has one core."]
    return ["GPUs per run: auto; `coregpt ablate` measures before the first run and keeps it. Shown here with 1."]
