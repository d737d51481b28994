"""Training what is missing of one study, here or on a cluster, and its report."""

import importlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from coregpt.cli.screen import say
from coregpt.cli.studies.folders import refuse_folder, refuse_name
from coregpt.cli.studies.resources import Resources
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import gone_if_refused, writable_folder
from coregpt.lab.designs.design import Task
from coregpt.lab.execute import decisions
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.headless import repeat_headless
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.execute.repeats import repeats
from coregpt.lab.execute.slots import find_slots
from coregpt.lab.execute.tally import Tally
from coregpt.lab.execute.tasks import everything, left
from coregpt.lab.planning import chain
from coregpt.lab.planning.preregister import exploratory, older_lines, register
from coregpt.lab.planning.split import settled
from coregpt.lab.progress import Display
from coregpt.lab.records.ledger import LedgerError
from coregpt.lab.slurm.cluster import cluster, refuse_unless_submittable
from coregpt.lab.slurm.queued import refuse_if_queued
from coregpt.lab.study.evaluating import asked_of
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.whereabouts import where
from coregpt.report.verdicts.exit_codes import DONE, FAILED, INTERRUPTED, UNDECIDED

if TYPE_CHECKING:
    from coregpt.report.reading.found import Found


def run_study(made: Plan, use: Resources, found: "Found | None" = None) -> int:
    """Train what is missing of one study and report it, with what tuning `found` for it."""
    store, folder = use.store, use.reports / made.study.name
    refuse_in_vain(made, use)
    refuse_folder(made.study, use)
    try:
        chain.refuse(made.study, made.source.digest, store)
        ready(store, made, folder)
        say(f"{made.study.question}")
        say(
            f"{len(made.study.arms)} arms x {len(made.study.seeds)} seeds = {len(made.runs)} runs"
            + (f" from {len(made.trunks)} trunks of {made.trunk_step} steps" if made.trunks else "")
            + (f" at scale {made.study.scale}" if made.study.scale else "")
            + f", preregistration {made.study.digest[:12]}"
        )
        register(made, store)
    except LedgerError as error:
        from coregpt.cli.studies.conclude import report_invalid

        report_invalid(made, store, writable_folder(folder))
        raise LedgerError(f"nothing was trained, and every verdict is invalid: {error}") from None
    for line in filter(None, (made.place(), *older_lines(made, store), *repeats(made, store, bool(use.slurm)))):
        say(line)
    tally = execute(made, use)
    if tally.interrupted:
        done = sum(Task(run).done(store) for run in made.runs)
        say(f"stopped: {done} of {len(made.runs)} runs are complete; the same command goes on from here")
        return INTERRUPTED
    if tally.spent:
        done = sum(Task(run).done(store) for run in made.runs)
        say(f"stopped, its budget is spent: {tally.spent}; {done} of {len(made.runs)} runs are complete")
        say("with a larger budget the same command goes on from here, and that is no amendment")
        return UNDECIDED
    from coregpt.cli.studies.conclude import conclude

    lost = measured(made, use)
    missed = conclude(made, store, folder, exploratory(made.study, store), found, use.mlflow)
    if tally.failed:
        mend = "the study was stopped: mend what is wrong, then" if tally.hopeless else ""
        words = f"{len(tally.failed)} of {len(made.runs)} runs failed;", mend, "the same command tries them again"
        say(" ".join(filter(None, words)))
    for line in (*lost, *missed):
        say(line)
    return FAILED if tally.failed or missed or lost else DONE


def measured(made: Plan, use: Resources) -> list[str]:
    """Secondary outcomes of the runs that there are; the lines that say what could not be measured."""
    if asked_of(made.study) is None:
        return []
    from coregpt.cli.studies.evaluating import measure_runs, unmeasured

    if use.slurm and (todo := unmeasured(made, use.store)):
        say(f"secondary outcomes of {len(todo)} runs are not measured on Slurm: the same command without --on does it")
        return []
    return measure_runs(made, use.store)


def ready(store: Path, made: Plan, folder: Path) -> None:
    """The folders of runs and of the report, proven writable: both are there then, or ConfigError and neither.

    A folder of runs that may only be read will do where every run is in it.
    """
    with gone_if_refused(store, folder):
        try:
            writable_folder(store)
        except ConfigError:
            if not store.is_dir() or left(made, store):
                raise
        writable_folder(folder)


def refuse_in_vain(made: Plan, use: Resources) -> None:
    """Before anything is written: raises ConfigError for a name that is another study's.

    Also if no slot, or Slurm, would take the missing runs, or Slurm has them already.
    """
    refuse_name(made.study, use)
    if asked_of(made.study) is not None:
        from coregpt.cli.studies.evaluating import refuse_unmeasurable

        refuse_unmeasurable(made)
    repeats(made, use.store, bool(use.slurm))
    todo = left(made, use.store) if use.store.is_dir() else made.runs
    runs = [run.id for run in todo]
    if use.slurm and todo:
        refuse_unless_submittable(use.slurm, use.store, todo[0].config.device, made.study.gpus_per_run, runs)
        return
    if todo:
        refuse_no_slot(made, use)
    if use.store.is_dir():
        refuse_if_queued(use.store, runs)


def refuse_no_slot(made: Plan, use: Resources) -> None:
    """Raises ConfigError where a run asks for more GPUs than there are."""
    try:
        find_slots(made.runs[0].config.device, made.study.gpus_per_run, use.jobs)
    except ConfigError as error:
        raise ConfigError(f"{where(made.study, 'gpus_per_run')}: {error}") from None


def execute(made: Plan, use: Resources) -> Tally:
    """Train what is missing."""
    store = use.store
    for line in repeat_headless((*made.trunks, *made.runs), store):
        say(line)
    todo = left(made, store)
    for line in decisions.note(made, store):
        say(line)
    if not todo:
        done = sum(Task(run).done(store) for run in made.runs)
        rest = "" if done == len(made.runs) else f"; the other {len(made.runs) - done} are not needed"
        say(f"all {done} runs are complete{rest}; nothing to train")
        return Tally()
    config = todo[0].config
    made, split = settled(made, store, use.jobs)
    for line in split.lines() if split else ():
        say(line)
    ranks = made.study.gpus_per_run
    machine: Executor
    if use.slurm:
        slots, machine = cluster(use.slurm, store, config.device, ranks, len(todo))
    else:
        slots = find_slots(config.device, ranks, use.jobs)
        machine = Executor(slots[0], pool=use.pool)
    at_once = min(len(slots), len(todo))
    ours = [run.config.precision for run in todo if foreign(run.config) is None]
    precisions = ", ".join(filter(None, [config.device, " and ".join(dict.fromkeys(ours))]))
    runs = "1 run" if len(todo) == 1 else f"{len(todo)} runs"
    place = " on Slurm" if use.slurm else ""
    later = "" if everything(made, store) or made.trunks else "; what follows depends on their results"
    say(f"{runs} to train, {at_once} at a time{place} ({precisions}){later}")
    # What the report takes a second to import is imported while runs train.
    threading.Thread(target=importlib.import_module, args=("coregpt.cli.studies.conclude",), daemon=True).start()
    return Launcher(made, store, slots, Display(), use.policy, machine, use.before).execute()
