"""`noise`, `verify` and `rerun` on a real cluster: what they say is what they say of runs trained here."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.execute.rerun import prepare
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import Planned
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.queued import note_job
from tests.lab.conftest import STUDY, Lab
from tests.lab.execute.test_launcher import planned
from tests.lab.slurm.cluster import jobs_of, said


@pytest.fixture
def here(executed: Lab, tmp_path: Path) -> Lab:
    """A copy of the executed study's runs and ledger."""
    (tmp_path / "runs").mkdir()
    for run in planned(executed).runs:
        shutil.copytree(executed.runs / run.id, tmp_path / "runs" / run.id)
    shutil.copy(executed.runs / "ledger.jsonl", tmp_path / "runs")
    return executed.with_runs_in(tmp_path)


@pytest.mark.slow
def test_noise_repeats_a_run_on_the_cluster_to_the_bit(
    here: Lab, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["noise", str(here.study), "--runs", str(here.runs), "--reports", str(here.reports)]
    assert main([*command, "--init", "2", "--data", "2", *on_slurm]) == 0
    out = capsys.readouterr().out
    assert "2 runs to train, 2 at a time on Slurm" in out
    assert "1 run to train, 1 at a time on Slurm" in out
    report = json.loads((here.reports / "tiny-noise" / "report.json").read_text())
    assert report["repeats"] == [report["values"][0][0]] * 2, "the first was trained here, the second by a job"
    assert len(jobs_of(here)) == 2


@pytest.mark.slow
def test_verify_trains_its_fresh_seeds_on_the_cluster(
    here: Lab, executed: Lab, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    published = executed.reports / "tiny" / "report.json"
    assert main(["verify", str(published), "--seeds", "2", "--runs", str(here.runs), *on_slurm]) == 0
    assert "4 runs to train, 4 at a time on Slurm" in capsys.readouterr().out
    assert len(jobs_of(here)) == 4


def test_a_run_is_executed_again_by_a_job_to_the_same_result(
    here: Lab, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run = planned(here).runs[0]
    folder = RunFolder(here.runs / run.id)
    before = folder.result()
    assert main(["rerun", run.id, "--runs", str(here.runs), *on_slurm]) == 0
    assert ", as before" in capsys.readouterr().out
    after = folder.result()
    assert before is not None
    assert after is not None
    assert after["value"] == before["value"]
    assert list(jobs_of(here)) == [run.id]
    last = [entry.event for entry in Ledger.of(here.runs).read() if entry.get("run") == run.id][-3:]
    assert last == ["rerun", "started", "ended"]


def test_a_run_that_cannot_be_submitted_or_is_in_the_queue_is_not_set_aside(
    here: Lab, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run = planned(here).runs[0]
    folder = RunFolder(here.runs / run.id)
    command = ["rerun", run.id, "--runs", str(here.runs)]
    assert main([*command, *on_slurm, "--partition", "nowhere"]) == 2
    assert "Slurm refuses the jobs: invalid partition specified: nowhere" in capsys.readouterr().err
    note_job(folder, said("sbatch", "--parsable", "--hold", "--wrap=true").strip(), None)
    for place in ((), on_slurm):
        assert main([*command, *place]) == 2
        assert "1 of these runs are jobs of Slurm" in capsys.readouterr().err
    assert folder.result()
    assert not (folder.path / "attempts").exists()


def test_a_result_of_a_gpu_is_not_put_to_the_test_on_whatever_gpu_a_job_gets(lab: Callable[..., Lab]) -> None:
    here = lab(base={**STUDY["base"], "device": "cuda", "precision": "bf16"})
    run = plan(outline(load(here.study)), "cuda").runs[0]
    folder = RunFolder(here.runs / run.id)
    folder.create(run.record, {})
    asked = Planned(run.id, "tiny", run.arm, run.seed)
    assert prepare(here.runs, asked, on_cluster=True) == folder, "nothing to lose"
    folder.write_result({"status": "finished", "value": 1.0, "select": 1.0})
    with pytest.raises(ConfigError, match="another one would make the run count no longer"):
        prepare(here.runs, asked, on_cluster=True)
