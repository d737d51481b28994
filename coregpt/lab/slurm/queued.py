"""Runs that were given to Slurm: a run's folder names its job, so that nobody executes it a second time.

`slurm.json` of a run folder holds the job that was submitted, or, if only a script was written, the name that its
array will have and the number of the run's task in it.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.job_states import Queue

RECORD = "slurm.json"
SHOWN = 4


def note_job(folder: RunFolder, job: str, until: int | None) -> None:
    """A job will execute a run to its end or to step `until`."""
    write_json(folder.path / RECORD, {"job": job, "until": until})


def note_script(folder: RunFolder, name: str, task: int, until: int | None) -> None:
    """A script has the run as this task of an array of this name; nobody knows whether it was submitted."""
    write_json(folder.path / RECORD, {"name": name, "task": task, "until": until})


def job_of(folder: RunFolder, queue: Queue) -> str:
    """The job that executes a run, by what the queue answered last; "" if there is none."""
    record = read_json(folder.path / RECORD)
    if record is None:
        return ""
    if "name" in record:
        return queue.task(record["name"], record["task"])
    return str(record["job"]) if queue.alive(record["job"]) else ""


def job_until(folder: RunFolder, until: int | None, queue: Queue) -> str:
    """The job that takes a run just as far, by what the queue answers now; "" if there is none."""
    record = read_json(folder.path / RECORD)
    if record is None or record["until"] != until:
        return ""
    if not job_of(folder, queue):  # another process may just have submitted it
        queue.refresh(at_once=True)
    return job_of(folder, queue)


def refuse_if_queued(store: Path, runs: Iterable[str]) -> None:
    """Raises ConfigError if jobs of Slurm wait with some of these runs or execute them, or if nobody can tell."""
    folders = [RunFolder(store / run) for run in runs]
    given = [each for each in folders if (each.path / RECORD).exists()]
    if not given or shutil.which("squeue") is None:
        return
    queue = Queue(float("inf"))
    queue.refresh()
    if not queue.looks:
        raise ConfigError(
            f"{len(given)} of these runs were given to Slurm, and squeue does not answer whether their jobs still "
            f"wait: call again when it does; if they are gone for good, delete {given[0].path / RECORD} and its like"
        )
    jobs = [job for each in given if (job := job_of(each, queue))]
    if jobs:
        shown = ", ".join(f"{job} {queue.states[job]}" for job in jobs[:SHOWN]) + (", ..." if jobs[SHOWN:] else "")
        arrays = " ".join(dict.fromkeys(job.partition("_")[0] for job in jobs))
        raise ConfigError(
            f"{len(jobs)} of these runs are jobs of Slurm ({shown}), and would be trained twice: wait for them with "
            f"--on slurm, or cancel them first: scancel {arrays}"
        )
