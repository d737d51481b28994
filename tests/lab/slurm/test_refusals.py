"""What is refused, or ends early, with nothing left behind: submissions, runs that Slurm has already, --fail-fast."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.progress import Display
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.cluster import SlurmOptions, cluster
from coregpt.lab.slurm.queued import note_job, note_script, refuse_if_queued
from coregpt.lab.slurm.sbatch import refusal, refuse_what_slurm_refuses
from tests.lab.conftest import STUDY, Lab
from tests.lab.execute.test_launcher import planned
from tests.lab.execute.test_worker import BROKEN
from tests.lab.slurm.cluster import drained, events, jobs_of, queue, wait_for


def test_the_words_of_sbatch_are_found_among_all_that_is_printed() -> None:
    text = "sbatch: error: invalid partition: x\nsbatch: error: Batch job submission failed: Invalid partition\n"
    assert refusal(text) == "invalid partition: x; Batch job submission failed: Invalid partition"
    assert refusal("sbatch: unrecognized option '--foo'\nTry \"sbatch --help\"\n") == "unrecognized option '--foo'"
    assert refusal("no such\n  luck") == "no such luck"


def test_a_test_that_fails_because_nodes_are_down_is_not_the_last_word(
    commands: Callable[[str, str], None], tmp_path: Path
) -> None:
    commands("sbatch", f'echo "$@" >>{tmp_path}/asked; case "$*" in *--test-only*) exit 1 ;; esac; echo 77')
    commands("scancel", f'echo "$@" >{tmp_path}/cancelled')
    refuse_what_slurm_refuses({"partition": "p", "requeue": ""}, 3)
    test, real = (tmp_path / "asked").read_text().splitlines()
    assert "--array=0-2" in test
    assert "--partition=p --requeue --wrap=true" in test
    assert real.endswith("--hold")
    assert (tmp_path / "cancelled").read_text() == "77\n"
    commands("sbatch", "echo 'sbatch: error: not for you' >&2; exit 1")
    with pytest.raises(ConfigError, match="Slurm refuses the jobs: not for you"):
        refuse_what_slurm_refuses({}, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--partition", "nowhere"), "invalid partition specified: nowhere"),
        (
            ("--partition", "brief", "--time", "5"),
            "Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
        ),
        (("--sbatch", "frobnicate=1"), "unrecognized option '--frobnicate=1'"),
    ],
)
def test_what_slurm_refuses_is_told_in_its_words_and_leaves_nothing(
    lab: Callable[..., Lab],
    on_slurm: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    here = lab()
    before = settled()
    assert main(here.command(*on_slurm, *options)) == 2
    (err,) = capsys.readouterr().err.splitlines()
    assert err.startswith(f"coregpt: error: Slurm refuses the jobs: {words}")
    assert sorted(path.name for path in here.folder.iterdir()) == ["tiny.yaml"]
    assert settled() == before


def settled() -> dict[str, str]:
    """State by job id, once no job of an earlier test is still ending."""
    until = time.monotonic() + 60
    while "COMPLETING" in (found := queue()).values() and time.monotonic() < until:
        time.sleep(0.2)
    return found


def test_jobs_that_would_wait_for_drained_nodes_are_not_refused(on_slurm: tuple[str, ...]) -> None:
    with drained():
        refuse_what_slurm_refuses(SlurmOptions().request("cpu", 1, 1), 3)
    assert set(queue().values()) <= {"CANCELLED", "COMPLETED", "COMPLETING", "FAILED"}


def test_a_refusal_after_the_start_fails_the_runs_and_is_on_record(
    lab: Callable[..., Lab], commands: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit that was reached in between."""
    commands("squeue", "true")
    commands("srun", "true")
    commands("sbatch", "echo 'sbatch: error: too many' >&2; exit 1")
    here = lab()
    made = planned(here)
    slots, machine = cluster(SlurmOptions(poll_seconds=0.01), here.runs, "cpu", 1, 4)
    here.runs.mkdir()
    tally = Launcher(made, here.runs, slots, Display(), machine=machine).execute()
    assert set(tally.failed.values()) == {"Slurm refuses the jobs: too many"}
    assert events(here) == {"started": 4, "failed": 4}
    assert not list(here.runs.glob("*/slurm.json"))


# -- runs that Slurm has already -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "SUSPENDED"])
def test_runs_whose_jobs_are_in_the_queue_are_not_trained_here(
    lab: Callable[..., Lab], commands: Callable[[str, str], None], capsys: pytest.CaptureFixture[str], state: str
) -> None:
    here = lab()
    first, second, *_ = planned(here).runs
    for run in (first, second):
        RunFolder(here.runs / run.id).create(run.record, {})
    note_job(RunFolder(here.runs / first.id), "7_0", None)
    note_script(RunFolder(here.runs / second.id), "coregpt-tiny-1", 3, None)
    commands("squeue", f"echo '7_0|COMPLETED|x'; echo '9_3|{state}|coregpt-tiny-1'")
    assert main(here.command("--no-mlflow")) == 2
    told = f"1 of these runs are jobs of Slurm (9_3 {state}), and would be trained twice: wait for them with --on slurm"
    assert told in capsys.readouterr().err
    commands("squeue", f"echo '7_0|{state}|x'; echo '9_3|CANCELLED|coregpt-tiny-1'; echo '8_3|PENDING|coregpt-tiny-2'")
    assert main(here.command("--no-mlflow")) == 2
    assert "or cancel them first: scancel 7\n" in capsys.readouterr().err
    assert not here.reports.exists()
    assert not (here.runs / "ledger.jsonl").exists()


def test_jobs_that_have_ended_are_no_obstacle_and_silence_is_no_answer(
    lab: Callable[..., Lab], commands: Callable[[str, str], None], tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "runs" / "a")
    folder.path.mkdir(parents=True)
    refuse_if_queued(tmp_path / "runs", ["a"])  # squeue fails, but nothing was given to Slurm
    note_job(folder, "7", None)
    with pytest.raises(ConfigError, match="squeue does not answer whether their jobs still wait"):
        refuse_if_queued(tmp_path / "runs", ["a"])
    commands("squeue", "echo '7|FAILED|x'")
    refuse_if_queued(tmp_path / "runs", ["a"])
    commands("squeue", "true")
    refuse_if_queued(tmp_path / "runs", ["a"])


# -- fail fast -----------------------------------------------------------------------------------------------------


def test_the_first_failure_cancels_the_other_jobs_of_the_study(
    lab: Callable[..., Lab], on_slurm: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    endless = {**STUDY["base"], "tokens": 64 * 1_000_000}
    arms = {"gelu": {}, "broken": {"plugins": {"broken": {}}}}
    here = lab(base=endless, arms=arms, plugin_files=["broken.py"], test={"baseline": "gelu"})
    mine = subprocess.run(["sbatch", "--parsable", "--hold", "--wrap=true"], check=True, capture_output=True, text=True)
    code = main(here.command(*on_slurm, "--no-mlflow", "--fail-fast", "--max-jobs", "2"))
    assert code == 1
    told = capsys.readouterr().out
    assert "the study's other jobs are cancelled" in told
    jobs = set(jobs_of(here).values())
    assert len(jobs) == 2, "the second seed was not submitted any more"
    wait_for(lambda: all(queue()[job] in ("CANCELLED", "FAILED", "COMPLETED") for job in jobs))
    assert queue()[mine.stdout.strip()] == "PENDING", "a job that is none of the study's is left alone"
    assert events(here)["failed"] >= 1
