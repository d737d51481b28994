"""Studies on a real cluster on this machine's loopback: the report, the attachment to jobs, several nodes."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.progress import Display
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.cluster import SlurmOptions, cluster
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.execute.test_launcher import planned, untimed
from tests.lab.slurm.cluster import MINUTE, drained, events, jobs_of, said, sent, wait_for, without_two

UNHURRIED_STEPS = 600
UNHURRIED = '''"""Two minutes of steps in a job of Slurm, on any processor, unless one before it left a checkpoint.

Source: none.
"""

import os
import time
from typing import Any

from coregpt.api import Clock, Companion, Plugin, RunView, hookimpl


class Pause(Companion):
    seconds = 0.2 if "SLURM_JOB_ID" in os.environ else 0.0

    def before_step(self, clock: Clock) -> None:
        time.sleep(self.seconds)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds = 0.0


class Unhurried(Plugin):
    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Pause()
'''


def test_a_study_on_slurm_has_the_report_of_one_trained_here(
    executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    here = without_two(executed, tmp_path)
    before = events(here)
    assert main(here.command(*on_slurm, "--no-mlflow")) == 0
    assert "2 runs to train, 2 at a time on Slurm (cpu, fp32)" in capsys.readouterr().out
    assert untimed(here) == untimed(executed)
    arrays = {job.partition("_")[0] for job in jobs_of(here).values()}
    assert len(arrays) == 1, "one array"
    assert events(here) - before == {"started": 2, "ended": 2}
    assert main(here.command(*on_slurm, "--no-mlflow")) == 0
    assert "nothing to train" in capsys.readouterr().out


def test_jobs_outlive_the_login_process_are_attached_to_and_one_cancelled_is_submitted_again(
    executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    """No node is there until all that is over: the jobs wait."""
    here, quick = without_two(executed, tmp_path), (*on_slurm, "--no-mlflow")
    before = events(here)["started"]
    with drained():
        with sent(here, (*quick, "--max-jobs", "1")) as process:
            wait_for(lambda: len(jobs_of(here)) == 1)
            process.kill()
        (first,) = jobs_of(here).values()
        with sent(here, quick) as process:
            wait_for(lambda: events(here)["started"] == before + 1 + 2 and len(jobs_of(here)) == 2)
            every = jobs_of(here)
            assert first in every.values()
            victim = next(run for run in every if every[run] == first)
            said("scancel", first)
            wait_for(lambda: jobs_of(here)[victim] != first)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=MINUTE)
        assert process.returncode == 130
        assert f"job {first} is CANCELLED" in output
        assert "retry 1 of 2" in output
        assert "jobs go on in Slurm, and the same command attaches to them; to cancel them: scancel " in output
        after = jobs_of(here)
        assert [run for run in every if every[run] != after[run]] == [victim], "the other kept its job"
    assert main(here.command(*quick)) == 0
    assert jobs_of(here) == after
    assert untimed(here) == untimed(executed)


@pytest.mark.slow
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
    """Slurm looks every 30 s for jobs with less than 120 s left and asks them to stop: here 60 to 90 s after a start.

    So a busy machine has time to get a run going before it is asked, and no machine is done with it by then.
    """
    (tmp_path / "unhurried.py").write_text(UNHURRIED)
    base = {**STUDY["base"], "tokens": 64 * UNHURRIED_STEPS, "plugins": {"unhurried": {}}}
    study = write_study(tmp_path / "s.yaml", executed.data, base=base, plugin_files=["unhurried.py"])
    whole, cut = Lab(tmp_path / "whole", executed.data, study), Lab(tmp_path / "cut", executed.data, study)
    assert main(whole.command("--no-mlflow")) == 0
    assert main(cut.command(*on_slurm, "--no-mlflow", "--time", "3")) == 0
    assert untimed(cut) == untimed(whole)
    logs = [log.read_text() for log in (cut.runs / "slurm").glob("*_log.out")]
    assert len(logs) == 4
    assert all("Requeued job" in log for log in logs), "every run needed a second job"
