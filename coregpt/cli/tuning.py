"""Studies that tune their arms first: all trials, then the test with what was found."""

from pathlib import Path

from coregpt.cli.ablate import INTERRUPTED, execute, refuse_in_vain, run_study
from coregpt.cli.plan import Asked, time_lines
from coregpt.cli.resources import Resources
from coregpt.cli.screen import say, table
from coregpt.lab.atomic import writable_folder
from coregpt.lab.designs.design import Task
from coregpt.lab.designs.tuning import freeze, frozen, trials_of
from coregpt.lab.planning.forecast import forecast
from coregpt.lab.planning.plans import outline, plan, trials_before
from coregpt.lab.planning.preregister import announce, register
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Outline, Plan
from coregpt.report.designs.tuning.analysis import Found
from coregpt.report.designs.tuning.collect import find
from coregpt.report.drawing.numbers import plural
from coregpt.report.facts.tuning import shown


def ablate_tuned(study: Study, trying: Study, use: Resources) -> int:
    """Trials that are missing, then the test. Exit codes as for one study.

    What is wrong with the test is found before the first trial: it is planned with the settings as written.
    """
    store, nodes = use.store, use.nodes
    plan(outline(frozen(study, {})), nodes)
    trials = plan(outline(trying), nodes)
    refuse_in_vain(trials, use)
    writable_folder(use.reports / study.name)
    announce(study, trials, writable_folder(store))
    register(trials, store)
    say(f"tuning: {counted(study, trials)}")
    tally = execute(trials, use)
    if tally.interrupted:
        done = sum(Task(run).done(store) for run in trials.runs)
        say(f"stopped: {done} of {len(trials.runs)} trial runs are complete; the same command goes on from here")
        return INTERRUPTED
    found = find(study, trials, store)
    if found is None:
        say("a trial has no outcome, so nothing was chosen and the test was not started; the same command tries again")
        return 1
    freeze(study, found.tuned.settings, store)
    for line in chosen_lines(found):
        say(line)
    say()
    made = plan(outline(frozen(study, found.tuned.settings)), nodes)
    return run_study(made, use, found)


def stages_of(made: Outline, store: Path) -> list[Plan]:
    """A study as one plan, or the trials of a tuned one and then its test, as written until all trials are there."""
    trying = trials_before(made.study)
    if trying is None:
        return [plan(made)]
    trials = plan(outline(trying))
    found = find(made.study, trials, store)
    return [trials, plan(outline(frozen(made.study, found.tuned.settings if found else {})))]


def trial_lines(study: Study, trials: Plan, asked: Asked) -> list[str]:
    """What is tried for each arm, what it costs, and what was found if all trials are there."""
    declared = trials_of(study)
    lines = [f"Tuning first: {counted(study, trials)}, {trials.flops:.3g} training FLOPs."]
    for arm, points in declared.trials.items() if declared else ():
        rows = [[str(number), *map(shown, point.values())] for number, point in enumerate(points, 1)]
        lines += ["", *table([[f"{arm}, trial", *points[0]], *rows])]
    found = find(study, trials, asked.store)
    after = chosen_lines(found) if found else ["The test below is shown with the settings as written."]
    return [*lines, "", *time_lines(trials, forecast(trials, asked.store, asked.jobs), asked.price), "", *after]


def counted(study: Study, trials: Outline) -> str:
    """`8 trials x 2 arms x 2 seeds = 32 runs`."""
    arms, seeds = len(study.written), len(trials.study.seeds)
    each = len(trials.study.arms) // arms
    runs = f"{len(trials.study.arms) * seeds} runs"
    return f"{plural(each, 'trial')} x {plural(arms, 'arm')} x {plural(seeds, 'seed')} = {runs}"


def chosen_lines(found: Found) -> list[str]:
    """One line per arm."""
    return [
        f"{each.arm}: trial {each.chosen} of {len(each.trials)}, "
        + ", ".join(f"{path} {shown(value)}" for path, value in each.best.settings.items())
        for each in found.tuned.arms
    ]
