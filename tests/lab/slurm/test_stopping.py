"""Jobs that Slurm stops before the end: each leaves a checkpoint, goes back into the queue and on from there."""

import time
from pathlib import Path

from coregpt.lab.store import Row, RunFolder
from tests.lab.conftest import Lab
from tests.lab.slurm.cluster import MINUTE, jobs_of, said, sent, training
from tests.lab.test_launch import planned, untimed

CHECKPOINT_SECONDS = 10.0
"""From the request to stop to a checkpoint on disk."""


def at_its_time_limit(job: str) -> None:
    said("scancel", "--signal=USR2", job)  # what Slurm sends 90 s before


def asked_to_stop(job: str) -> None:
    said("scancel", "--signal=TERM", job)


def requeued_by_hand(job: str) -> None:
    said("scontrol", "requeue", job)


def preempted(job: str) -> None:
    """Whoever has the whole cluster for a moment throws out everybody."""
    said("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true")


WAYS = (at_its_time_limit, asked_to_stop, requeued_by_hand, preempted)


def stop_each(lab: Lab) -> dict[str, tuple[str, float, list[Row]]]:
    """Stop every run in another way as soon as it trains; by run: the way, seconds to its checkpoint, its rows then."""
    ways, stopped, found = list(WAYS), {}, {}
    runs = [run.id for run in planned(lab).runs]
    deadline = time.monotonic() + 2 * MINUTE
    while len(found) < len(runs):
        assert time.monotonic() < deadline, (stopped, said("squeue", "--array", "--states=all"))
        for run in runs:
            folder = RunFolder(lab.runs / run)
            if run not in stopped and training(lab, run):
                stopped[run] = time.time(), ways.pop(0)
                stopped[run][1](jobs_of(lab)[run])
            elif run in stopped and run not in found and folder.checkpoint.exists():
                when, way = stopped[run]
                found[run] = way.__name__, folder.checkpoint.stat().st_mtime - when, folder.rows()
        time.sleep(0.02)
    return found


def test_runs_stopped_in_any_way_go_on_from_checkpoints_to_the_same_report(
    longer: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    here = longer.with_runs_in(tmp_path)
    with sent(here, (*on_slurm, "--no-mlflow")) as process:
        found = stop_each(here)
        before = jobs_of(here)
        output, _ = process.communicate(timeout=3 * MINUTE)
    assert process.returncode == 0, output
    assert [way for way, seconds, _ in found.values() if seconds > CHECKPOINT_SECONDS] == []
    for run, (way, _, rows) in found.items():
        now = RunFolder(here.runs / run).rows()
        assert 0 < len(rows) < len(now), way
        assert now[: len(rows)] == rows, f"{way}: it began anew, with other times"
    assert untimed(here) == untimed(longer)
    assert "retry" not in output
    assert jobs_of(here) == before, "every run kept its job"
