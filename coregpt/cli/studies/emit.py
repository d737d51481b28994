"""`coregpt plan --emit sbatch`: the missing runs as a script, for sites where no process may wait on the login node."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from coregpt.cli.screen import say
from coregpt.cli.studies.loading import sound_studies
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import gone_if_refused, writable_folder, write_text
from coregpt.lab.designs.design import Task
from coregpt.lab.execute.repeats import repeats
from coregpt.lab.execute.tasks import everything, missing
from coregpt.lab.planning import chain
from coregpt.lab.planning.plans import outlines, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.records.claims import claimed
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.cluster import SlurmOptions
from coregpt.lab.slurm.job_states import Queue
from coregpt.lab.slurm.queued import job_of, note_script
from coregpt.lab.slurm.remote import SIGNAL_SECONDS
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan

SCRIPT = """\
#!/bin/bash
# {runs} of {study}. Written by `coregpt plan --emit sbatch`.
# Submit it once with sbatch. When the array has ended, `coregpt ablate {path}` reports.
{options}

tasks=(
{tasks}
)
read -r run rest <<<"${{tasks[$SLURM_ARRAY_TASK_ID]}}"

# {seconds} s before its time limit, and when another job takes its place, a job asks its worker for a checkpoint. The
# worker then puts the job back into the queue, unless it has come to its time limit with nothing to go on from.
again() {{
    trap '' USR2 TERM
    scancel --signal="$1" "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
    wait "$step"
    exit 1
}}
trap 'again USR2' USR2
trap 'again TERM' TERM

srun --cpus-per-task={cpus} {worker} "$run" $rest &
step=$!
wait "$step"
"""


def emit(path: Path, scale: str | None, store: Path, out: Path | None, slurm: SlurmOptions) -> int:
    """Declare the study, or all its sizes, make the missing runs' folders, enter them as started, give the script."""
    if len(str(store.resolve()).split()) > 1:
        raise ConfigError(f"--runs {store}: a script cannot use a path with spaces")
    studies, _ = sound_studies(path, scale, store, slurm)
    plans = [plan(made, slurm.device) for made in outlines(studies)]
    layout = slurm.layout(plans[0].runs[0].config.device, studies[0].gpus_per_run)
    for made in plans:
        chain.refuse(made.study, made.source.digest, store)
        if said := repeats(made, store, on_cluster=True):  # who starts a run over keeps what it had, and a job cannot
            raise ConfigError(f"{path}: {said[0]} A script cannot do that: call coregpt ablate --on slurm")
    with gone_if_refused(store / "slurm", *([out] if out else [])):
        writable_folder(store / "slurm")
        if out is not None:
            writable_folder(out.parent)
    for made in plans:
        register(made, store)
    tasks = [(made, task) for made in plans for task in to_submit(made, store)]
    if not tasks:
        report = shlex.join(["coregpt", "ablate", str(path)])
        tell(f"nothing to submit: `{report}` reports what is complete and waits for what is running")
        return 0
    asked = options_of(path, tasks, store, slurm, layout)
    ledger = Ledger.of(store)
    for number, (made, task) in enumerate(tasks):
        run, folder = task.run, RunFolder(store / task.run.id)
        folder.create(run.record, run.plugin_files)
        folder.clear_error()
        note_script(folder, asked["job-name"], number, task.until)
        ledger.append("started", study=made.study.name, run=run.id, arm=run.arm, seed=run.seed)
    text = script(path, [made.study for made in plans], [task for _, task in tasks], store, asked, layout)
    if out is None:
        say(text.rstrip())
    else:
        write_text(out, text)
        tell(f"{len(tasks)} runs: sbatch {out}")
    if not all(everything(made, store) for made in plans):
        tell("the study decides on the way what it runs next: when the array has ended, call this again")
    return 0


def to_submit(made: Plan, store: Path) -> list[Task]:
    """What is missing, runs that somebody executes and those whose jobs are in the queue left out."""
    tasks = [task for task in missing(made, store) if not claimed(RunFolder(store / task.run.id))]
    queue = Queue(float("inf"))
    queue.refresh()
    return [task for task in tasks if not job_of(RunFolder(store / task.run.id), queue)]


def options_of(
    path: Path, tasks: Sequence[tuple[Plan, Task]], store: Path, slurm: SlurmOptions, layout: tuple[int, int]
) -> dict[str, str]:
    """Of sbatch, by name. The array's own name tells later which jobs are these; the same script has the same."""
    made, task = tasks[0]
    own = sha256("\n".join(arguments(each, store) for _, each in tasks).encode()).hexdigest()[:8]
    parallel = f"%{slurm.max_jobs}" if slurm.max_jobs else ""
    return {
        "job-name": f"coregpt-{made.study.family or made.study.name}-{own}",
        "array": f"0-{len(tasks) - 1}{parallel}",
        "output": str(store.resolve() / "slurm" / "%A_%a.log"),
        "open-mode": "append",
        "signal": f"B:USR2@{SIGNAL_SECONDS}",
        **slurm.request(task.run.config.device, *layout),
    }


def script(
    path: Path,
    studies: Sequence[Study],
    tasks: Sequence[Task],
    store: Path,
    asked: Mapping[str, str],
    layout: tuple[int, int],
) -> str:
    """The complete text for sbatch; `layout` as by SlurmOptions.layout."""
    lines = ["#SBATCH --requeue", *(f"#SBATCH --{key}={shlex.quote(value)}" for key, value in asked.items())]
    return SCRIPT.format(
        runs="1 run" if len(tasks) == 1 else f"{len(tasks)} runs",
        study=", ".join(f"{study.name} (preregistration {study.digest[:12]})" for study in studies),
        path=shlex.quote(str(path)),
        options="\n".join(lines),
        tasks="\n".join(f"    {shlex.quote(arguments(task, store))}" for task in tasks),
        seconds=SIGNAL_SECONDS,
        cpus=asked["cpus-per-task"],
        worker=shlex.join([sys.executable, "-m", "coregpt.lab.slurm.remote", "--ranks", str(layout[1])]),
    )


def arguments(task: Task, store: Path) -> str:
    """Of the worker."""
    folder = str(store.resolve() / task.run.id)
    return folder if task.until is None else f"{folder} --until {task.until}"


def tell(text: str) -> None:
    """To people: standard output is the script."""
    print(text, file=sys.stderr)  # noqa: T201
