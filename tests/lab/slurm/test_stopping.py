"""Jobs that Slurm stops before the end: each leaves a checkpoint, goes back into the queue and on from there."""

from collections.abc import Callable
from pathlib import Path

from tests.lab.conftest import Lab
from tests.lab.execute.test_launcher import planned, untimed
from tests.lab.slurm.cluster import MINUTE, assert_gone_on, jobs_of, said, sent, stop_each


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


def way_of(lab: Lab, run: str, way: Callable[[str], None]) -> Callable[[], None]:
    return lambda: way(jobs_of(lab)[run])


def test_runs_stopped_in_any_way_go_on_from_checkpoints_to_the_same_report(
    longer: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    here = longer.with_runs_in(tmp_path)
    with sent(here, (*on_slurm, "--no-mlflow")) as process:
        runs = [run.id for run in planned(here).runs]
        found = stop_each(here, {run: way_of(here, run, way) for run, way in zip(runs, WAYS, strict=True)})
        before = jobs_of(here)
        output, _ = process.communicate(timeout=3 * MINUTE)
    assert process.returncode == 0, output
    assert_gone_on(here, found)
    assert untimed(here) == untimed(longer)
    assert "retry" not in output
    assert jobs_of(here) == before, "every run kept its job"
