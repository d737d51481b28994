"""`coregpt plan --emit sbatch`: the missing runs as a script, for sites where no process may wait on the login node."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from coregpt.cli.ablate import load_studies
from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import writable_folder, write_text
from coregpt.lab.ledger import Ledger
from coregpt.lab.preregister import register
from coregpt.lab.remote import SIGNAL_SECONDS
from coregpt.lab.slurm import SlurmOptions
from coregpt.lab.store import RunFolder, claimed
from coregpt.lab.study import outline, plan
from coregpt.lab.tasks import Task, everything, missing

SCRIPT = """\
#!/bin/bash
# {runs} of the study {study}, preregistration {digest}. Written by `coregpt plan --emit sbatch`.
# Submit it once with sbatch. When the array has ended, `coregpt ablate {path}` reports.
{options}

tasks=(
{tasks}
)
read -r run rest <<<"${{tasks[$SLURM_ARRAY_TASK_ID]}}"

# {seconds} s before its time limit a job asks its worker for a checkpoint and goes back into the queue. A run that
# could not write one in all of its time would get no further the next time.
again() {{
    trap '' USR2
    scancel --signal=TERM "$SLURM_JOB_ID"
    wait "$step"
    if [ -e "$run/checkpoint.pt" ]; then scontrol requeue "$SLURM_JOB_ID"; fi
    exit 1
}}
trap again USR2

srun --cpus-per-task={cpus} {worker} "$run" $rest &
step=$!
wait "$step"
"""


def emit(path: Path, scale: str | None, store: Path, out: Path | None, slurm: SlurmOptions) -> int:
    """Declare the study, make its missing runs' folders, enter them as started, and print or write the script."""
    first, *others = load_studies(path, scale, slurm)
    if others:
        raise ConfigError(f"{path}: sizes: --emit sbatch takes one size, and the study has {1 + len(others)}")
    if len(str(store.resolve()).split()) > 1:
        raise ConfigError(f"--runs {store}: a script cannot use a path with spaces")
    made = plan(outline(first), slurm.device)
    writable_folder(store)
    writable_folder(store / "slurm")
    register(made, store)
    tasks = [task for task in missing(made, store) if not claimed(RunFolder(store / task.run.id))]
    if not tasks:
        tell(f"nothing to submit: `coregpt ablate {path}` reports what is complete and waits for what is running")
        return 0
    layout = slurm.layout(tasks[0].run.config.device, first.gpus_per_run)
    ledger = Ledger.of(store)
    for task in tasks:
        run, folder = task.run, RunFolder(store / task.run.id)
        folder.create(run.record, run.plugin_files)
        folder.clear_error()
        ledger.append("started", study=first.name, run=run.id, arm=run.arm, seed=run.seed)
    text = script(path, first.name, first.digest, tasks, store, slurm, layout)
    if out is None:
        say(text.rstrip())
    else:
        write_text(out, text)
        tell(f"{len(tasks)} runs: sbatch {out}")
    if not everything(made, store):
        tell("the study decides on the way what it runs next: when the array has ended, call this again")
    return 0


def script(
    path: Path,
    study: str,
    digest: str,
    tasks: Sequence[Task],
    store: Path,
    slurm: SlurmOptions,
    layout: tuple[int, int],
) -> str:
    """The complete text for sbatch; `layout` as by SlurmOptions.layout."""
    nodes, ranks = layout
    asked = slurm.request(tasks[0].run.config.device, nodes, ranks)
    parallel = f"%{slurm.max_jobs}" if slurm.max_jobs else ""
    options = {
        "job-name": f"coregpt-{study}",
        "array": f"0-{len(tasks) - 1}{parallel}",
        "output": str(store.resolve() / "slurm" / "%A_%a.log"),
        "open-mode": "append",
        "signal": f"B:USR2@{SIGNAL_SECONDS}",
        **asked,
    }
    lines = ["#SBATCH --requeue", *(f"#SBATCH --{key}={shlex.quote(value)}" for key, value in options.items())]
    return SCRIPT.format(
        runs="1 run" if len(tasks) == 1 else f"{len(tasks)} runs",
        study=study,
        digest=digest[:12],
        path=shlex.quote(str(path)),
        options="\n".join(lines),
        tasks="\n".join(f"    {shlex.quote(arguments(task, store))}" for task in tasks),
        seconds=SIGNAL_SECONDS,
        cpus=asked["cpus-per-task"],
        worker=shlex.join([sys.executable, "-m", "coregpt.lab.remote", "--ranks", str(ranks)]),
    )


def arguments(task: Task, store: Path) -> str:
    """Of the worker."""
    folder = str(store.resolve() / task.run.id)
    return folder if task.until is None else f"{folder} --until {task.until}"


def tell(text: str) -> None:
    """To people: standard output is the script."""
    print(text, file=sys.stderr)  # noqa: T201
