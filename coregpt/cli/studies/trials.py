"""Studies that find settings of their arms first: all trials, then the test with what was found."""

from dataclasses import replace
from pathlib import Path

from coregpt.cli.programs import answer
from coregpt.cli.screen import say
from coregpt.cli.studies.costs import Asked, on_average, time_lines
from coregpt.cli.studies.folders import refuse_folder, refuse_name
from coregpt.cli.studies.resources import Resources
from coregpt.cli.studies.training import execute, ready, refuse_in_vain, run_study
from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.design import Task
from coregpt.lab.designs.found import freeze, frozen
from coregpt.lab.planning import chain
from coregpt.lab.planning.forecast import forecast
from coregpt.lab.planning.plans import outline, plan, trials_before
from coregpt.lab.planning.preregister import announce, register
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Outline, Plan
from coregpt.report.designs.collectors import COLLECTORS
from coregpt.report.reading.found import Found
from coregpt.report.verdicts.exit_codes import INTERRUPTED, UNDECIDED


def ablate_after(trying: Outline, study: Study, use: Resources) -> int:
    """Trials that are missing, then the test. Exit codes as for one study; 13 if trials leave nothing to compare.

    What is wrong with the test is found before the first trial: it is planned with the settings as written.
    """
    store, nodes = use.store, use.nodes
    plan(outline(frozen(study, {})), nodes)
    trials = plan(trying, nodes)
    refuse_in_vain(trials, use)
    refuse_name(study, use)
    refuse_folder(study, use)
    chain.refuse(study, trials.source.digest, store)
    ready(store, trials, use.reports / study.name)
    announce(study, trials, store)
    register(trials, store, trials=True)
    for line in trial_words(study, trials)[:1]:
        say(line)
    tally = execute(trials, use)
    if tally.spent:
        say(
            f"stopped, the study's budget is spent by trials: {tally.spent}; with a larger one the same command goes on"
        )
        return UNDECIDED
    if tally.interrupted:
        done = sum(Task(run).done(store) for run in trials.runs)
        say(f"stopped: {done} trial runs are complete; the same command goes on from here")
        return INTERRUPTED
    found = find(study, trials, store)
    if found is None:
        say("a trial has no outcome, so nothing was chosen and the test was not started; the same command tries again")
        return 1
    for line in found.lines:
        say(line)
    if found.in_vain:
        say(f"the test was not started: {told_in_vain(found)}")
        answer("untuned", {"study": study.name, "why": found.in_vain})
        return UNDECIDED
    freeze(study, found.settings, store)
    say()
    made = plan(outline(frozen(study, found.settings)), nodes)
    return run_study(made, replace(use, before=(trials,)), found)


def told_in_vain(found: Found) -> str:
    """Why, and what to do about it."""
    return (
        f"none of its comparisons could be valid ({found.in_vain}); declare values nearer to the best ones tried, or "
        "more tokens, and call again"
    )


def find(study: Study, trials: Plan, store: Path) -> Found | None:
    """What the trials found; None while one that is needed has no outcome."""
    found = (each.find(study, trials, store) for each in COLLECTORS)
    return next((each for each in found if each is not None), None)


def stages_of(made: Outline, store: Path) -> list[Plan]:
    """A study as one plan, or the trials before it and then its test, as written until all trials are there."""
    trying = trials_before(made)
    if trying is None:
        return [plan(made)]
    trials = plan(trying)
    found = find(made.study, trials, store)
    return [trials, plan(outline(frozen(made.study, found.settings if found else {})))]


def trial_lines(study: Study, trials: Plan, asked: Asked) -> list[str]:
    """What is tried for each arm, what it costs, and what was found if all trials are there."""
    found = find(study, trials, asked.store)
    after = found.lines if found else ("The test below is shown with the settings as written.",)
    if found and found.in_vain:
        after = (*after, f"WARNING: the test will not be started: {told_in_vain(found)}.")
    expected = forecast(trials, asked.store, asked.jobs)
    times = time_lines(trials, expected, asked.price)
    return [*trial_words(study, trials), "", *times, *on_average(trials, expected), "", *after]


def trial_words(study: Study, trials: Plan) -> list[str]:
    """What designs say of the trials before the test."""
    return [line for design in DESIGNS for line in design.told_of_trials(study, trials)]
