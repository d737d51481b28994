"""`coregpt ablate`: plan, run what is missing, report, mirror."""

from pathlib import Path

import torch

from coregpt.cli.report import write_report
from coregpt.cli.screen import say
from coregpt.lab.atomic import writable_folder
from coregpt.lab.config import load, load_sizes
from coregpt.lab.declaration import Study
from coregpt.lab.launch import Launcher, Tally
from coregpt.lab.ledger import LedgerError
from coregpt.lab.mirror import database_uri, mirror
from coregpt.lab.preregister import register
from coregpt.lab.progress import Display
from coregpt.lab.slots import find_slots
from coregpt.lab.study import Plan, outline, plan
from coregpt.lab.tasks import Task, left
from coregpt.report.collect import collect
from coregpt.report.summary import summarise

INTERRUPTED = 130


def ablate(path: Path, scale: str | None, store: Path, reports: Path, jobs: int | None, mlflow: bool) -> int:
    """Run a study, or one per size, to its report. Exit code 1 if a run failed, 130 if interrupted."""
    studies = load_studies(path, scale)
    if studies[0].sizes:
        from coregpt.cli.sizes import ablate_sizes

        return ablate_sizes(studies, store, reports, jobs, mlflow)
    return run_study(plan(outline(studies[0])), store, reports, jobs, mlflow)


def run_study(made: Plan, store: Path, reports: Path, jobs: int | None, mlflow: bool) -> int:
    """Train what is missing of one study and report it."""
    folder = writable_folder(reports / made.study.name)
    writable_folder(store)
    say(f"{made.study.question}")
    say(
        f"{len(made.study.arms)} arms x {len(made.study.seeds)} seeds = {len(made.runs)} runs"
        + (f" from {len(made.trunks)} trunks of {made.fork_step} steps" if made.trunks else "")
        + (f" at scale {made.study.scale}" if made.study.scale else "")
        + f", preregistration {made.study.digest[:12]}"
    )
    try:
        exploratory = register(made, store)
    except LedgerError as error:
        write_report(summarise(*collect(made, store)), folder)
        raise LedgerError(f"nothing was trained, and every verdict is invalid: {error}") from None
    tally = execute(made, store, jobs)
    if tally.interrupted:
        done = sum(Task(run).done(store) for run in made.runs)
        say(f"stopped: {done} of {len(made.runs)} runs are complete; the same command goes on from here")
        return INTERRUPTED
    write_report(summarise(*collect(made, store, exploratory)), folder)
    if mlflow:
        finish_mlflow(made, store, folder)
    if tally.failed:
        say(f"{len(tally.failed)} of {len(made.runs)} runs failed; the same command tries them again")
    return 1 if tally.failed else 0


def load_studies(path: Path, scale: str | None) -> list[Study]:
    """One study, or one per size."""
    return load_sizes(path, scale, torch.cuda.device_count())


def load_study(path: Path, scale: str | None) -> Study:
    return load(path, scale, torch.cuda.device_count())


def execute(made: Plan, store: Path, jobs: int | None) -> Tally:
    """Train what is missing."""
    todo = left(made, store)
    if not todo:
        say(f"all {len(made.runs)} runs are complete; nothing to train")
        return Tally()
    config = todo[0].config
    slots = find_slots(config.device, made.study.gpus_per_run, jobs)
    at_once = min(len(slots), len(todo))
    runs = "1 run" if len(todo) == 1 else f"{len(todo)} runs"
    say(f"{runs} to train, {at_once} at a time ({config.device}, {config.precision})")
    return Launcher(made, store, slots, Display()).execute()


def finish_mlflow(made: Plan, store: Path, folder: Path) -> None:
    warning = mirror(made, store, folder)
    say()
    say(warning or f"MLflow:  mlflow ui --backend-store-uri {database_uri(store)}")
