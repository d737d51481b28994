"""Studies on a real cluster on this machine's loopback: the report, the attachment to jobs, several nodes."""

import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.launch import Launcher
from coregpt.lab.progress import Display
from coregpt.lab.slurm import SlurmOptions, cluster
from coregpt.lab.store import RunFolder
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.slurm.cluster import MINUTE, events, jobs_of, queue, sent, wait_for
from tests.lab.test_launch import planned, untimed, wait_for_training


def test_a_study_on_slurm_has_the_report_of_one_trained_here(
    executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    here = executed.with_runs_in(tmp_path)
    assert main(here.command(*on_slurm)) == 0
    assert "4 runs to train, 4 at a time on Slurm (cpu, fp32)" in capsys.readouterr().out
    assert untimed(here) == untimed(executed)
    arrays = {job.partition("_")[0] for job in jobs_of(here).values()}
    assert len(arrays) == 1, "one array"
    assert events(here) == {"declared": 1, "started": 4, "ended": 4}
    assert main(here.command(*on_slurm)) == 0
    assert "nothing to train" in capsys.readouterr().out


def test_a_job_requeued_at_its_time_limit_and_one_cancelled_change_nothing(
    longer: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    here = longer.with_runs_in(tmp_path)
    with sent(here, on_slurm) as process:
        wait_for_training(here)
        before = jobs_of(here)
        first, second, *_ = [job for job in before.values() if queue()[job] == "RUNNING"]
        subprocess.run(["scancel", "--signal=USR2", first], check=True)  # what Slurm sends near a time limit
        subprocess.run(["scancel", second], check=True)
        output, _ = process.communicate(timeout=2 * MINUTE)
    assert process.returncode == 0, output
    assert untimed(here) == untimed(longer)
    assert f"job {second} is CANCELLED" in output
    assert "retry 1 of 2" in output
    after = jobs_of(here)
    assert [before[run] for run in before if before[run] != after[run]] == [second], "the other one kept its job"
    assert "Requeued job" in (here.runs / "slurm" / f"{first}_0_log.out").read_text()


def test_jobs_outlive_the_login_process_and_are_attached_to(
    longer: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    here = longer.with_runs_in(tmp_path)
    with sent(here, (*on_slurm, "--max-jobs", "3")) as process:
        wait_for_training(here)
        process.kill()
    before = jobs_of(here)
    assert len(before) == 3, "the fourth waits for a place in the queue"
    with sent(here, on_slurm) as process:
        wait_for(lambda: len(jobs_of(here)) == 4)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=MINUTE)
    assert process.returncode == 130
    assert "jobs go on in Slurm, and the same command attaches to them; to cancel them: scancel " in output
    assert jobs_of(here).items() > before.items()
    every = jobs_of(here)
    assert main(here.command(*on_slurm)) == 0
    assert jobs_of(here) == every
    assert untimed(here) == untimed(longer)


def test_a_run_on_two_nodes_gives_the_value_of_one(executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...]) -> None:
    made = planned(executed)
    made = replace(made, runs=made.runs[:1])
    slots, machine = cluster(SlurmOptions(nodes=2, poll_seconds=0.3), tmp_path, "cpu", 1, 1)
    tally = Launcher(made, tmp_path, slots, Display(), machine=machine).execute()
    assert not tally.failed
    ours, theirs = RunFolder(tmp_path / made.runs[0].id), RunFolder(executed.runs / made.runs[0].id)
    assert ours.environment()["ranks"] == "2"
    assert (ours.result() or {})["value"] == pytest.approx((theirs.result() or {})["value"], abs=1e-4)


@pytest.mark.slow
def test_a_study_that_needs_several_time_limits_has_the_report_of_one_trained_here(
    executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    base = {**STUDY["base"], "tokens": 64 * 3000}
    study = write_study(tmp_path / "s.yaml", executed.data, base=base)
    whole, cut = Lab(tmp_path / "whole", executed.data, study), Lab(tmp_path / "cut", executed.data, study)
    assert main(whole.command("--no-mlflow")) == 0
    assert main(cut.command(*on_slurm, "--time", "1")) == 0
    assert untimed(cut) == untimed(whole)
    assert any("Requeued job" in log.read_text() for log in (cut.runs / "slurm").glob("*_log.out"))
