"""The whole way from a study to its report: executed once, interrupted, killed, failing, shared."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.designs.design import Task
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.execute.slots import Slot
from coregpt.lab.execute.tasks import missing
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.progress import Display
from coregpt.lab.records.claims import claim
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.execute.test_worker import BROKEN
from tests.warm import Program


def planned(lab: Lab) -> Plan:
    return plan(outline(load(lab.study)))


def untimed(lab: Lab) -> dict[str, Any]:
    return {key: value for key, value in lab.report().items() if key != "timing"}


def pages(lab: Lab) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((lab.reports / lab.study.stem).iterdir())}


def test_every_planned_run_is_in_the_report(executed: Lab) -> None:
    runs = executed.report()["runs"]
    assert [(run["arm"], run["seed"], run["status"]) for run in runs] == [
        (arm, seed, "finished") for arm in ("gelu", "relu2") for seed in (0, 1)
    ]
    assert all(len(run["curve"]) == 6 for run in runs)


def test_a_second_call_trains_nothing_and_changes_no_byte(executed: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    before = pages(executed)
    stamps = {path: path.stat().st_mtime_ns for path in executed.runs.glob("*/result.json")}
    assert main(executed.command("--no-mlflow")) == 0
    assert "all 4 runs are complete; nothing to train" in capsys.readouterr().out
    assert pages(executed) == before
    assert {path: path.stat().st_mtime_ns for path in executed.runs.glob("*/result.json")} == stamps


def test_the_report_command_gives_the_same_bytes_from_json_alone(executed: Lab, tmp_path: Path) -> None:
    source = executed.reports / "tiny" / "report.json"
    assert main(["report", str(source), "--out", str(tmp_path / "again")]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == pages(executed)


def test_a_run_paused_in_one_wave_and_finished_in_the_next_gives_the_same_numbers(
    executed: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(executed)

    def halfway_first(plan: Plan, store: Path) -> list[Task]:
        paused = [Task(run, until=2) for run in plan.runs]
        return [Task(run) for run in plan.runs] if all(task.done(store) for task in paused) else paused

    monkeypatch.setattr("coregpt.lab.execute.tasks.wave", halfway_first)
    tally = Launcher(made, tmp_path, [Slot(()), Slot(())], Display()).execute()
    assert sorted(tally.trained) == sorted(run.id for run in made.runs)
    for run in made.runs:
        ours, theirs = RunFolder(tmp_path / run.id), RunFolder(executed.runs / run.id)
        assert (ours.result() or {})["value"] == (theirs.result() or {})["value"]
        assert [row["step"] for row in ours.rows()] == [row["step"] for row in theirs.rows()]
    starts = [entry["run"] for entry in Ledger.of(tmp_path).read() if entry.event == "started"]
    assert sorted(starts) == sorted([run.id for run in made.runs] * 2)


def test_studies_share_runs_that_are_the_same(executed: Lab, tmp_path: Path) -> None:
    arms = {"plain": {}, "silu": {"plugins": {"swiglu": {}}}}
    other = write_study(tmp_path / "other.yaml", executed.data, arms=arms, test={"baseline": "plain"})
    todo = missing(plan(outline(load(other))), executed.runs)
    assert sorted((task.run.arm, task.run.seed) for task in todo) == [("silu", 0), ("silu", 1)]


def launched(lab: Lab) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "coregpt.cli", *lab.command("--no-mlflow", "--jobs", "2")]
    return Program(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_training(lab: Lab) -> list[RunFolder]:
    """Run folders in which at least one step was taken and that are not complete."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        folders = [RunFolder(path.parent) for path in lab.runs.glob("*/metrics.jsonl")]
        training = [folder for folder in folders if folder.newest().get("step", 0) > 0 and folder.result() is None]
        if training:
            return training
        time.sleep(0.02)
    raise AssertionError("no run started to train")


def wait_until_free(lab: Lab) -> None:
    """The workers of a dead launcher notice it and leave."""
    deadline = time.monotonic() + 30
    for folder in [RunFolder(path.parent) for path in lab.runs.glob("*/claim")]:
        held = claim(folder)
        while held is None and time.monotonic() < deadline:
            time.sleep(0.05)
            held = claim(folder)
        assert held is not None, "a worker outlived its launcher"
        held.release()


def test_a_study_killed_in_the_middle_continues_to_the_identical_report(executed: Lab, tmp_path: Path) -> None:
    here = executed.with_runs_in(tmp_path)
    with launched(here) as process:
        wait_for_training(here)
        process.kill()
    wait_until_free(here)
    assert len(missing(planned(here), here.runs)) > 0
    assert main(here.command("--no-mlflow")) == 0
    assert untimed(here) == untimed(executed)


def test_an_interrupt_saves_and_says_how_to_go_on(lab: Callable[..., Lab]) -> None:
    here = lab(base={**STUDY["base"], "tokens": 64 * 20_000})
    with launched(here) as process:
        training = wait_for_training(here)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: 0 of 4 runs are complete; the same command goes on from here" in output
    assert training[0].checkpoint.exists()
    assert training[0].error() is None
    wait_until_free(here)


def test_a_failed_run_is_told_and_the_others_go_on(
    executed: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each in its own words: two that fail alike would stop the study.
    own = BROKEN.replace('"sprung"', 'f"sprung in {os.getpid()}"')
    own = own.replace("from coregpt", "import os\n\nfrom coregpt", 1)
    (tmp_path / "broken.py").write_text(own)
    arms = {"gelu": {}, "broken": {"plugins": {"broken": {}}}, "wild": {"optim": {"lr": 1e30}}}
    changes = {"arms": arms, "plugin_files": ["broken.py"]}
    study = write_study(tmp_path / "failing.yaml", executed.data, **changes)
    here = Lab(tmp_path, executed.data, study)
    shutil.copytree(executed.runs, here.runs)
    assert main(here.command("--no-mlflow")) == 1
    output = capsys.readouterr().out
    assert output.count("FAILED broken seed") == 2
    assert "ValueError: sprung in " in output
    assert output.count("DIVERGED") == 2
    statuses = {(run["arm"], run["status"]) for run in here.report()["runs"]}
    assert statuses == {("gelu", "finished"), ("broken", "failed"), ("wild", "diverged")}


def test_a_run_claimed_elsewhere_is_waited_for(executed: Lab, tmp_path: Path) -> None:
    here = executed.with_runs_in(tmp_path)
    made = planned(here)
    for run in made.runs:
        RunFolder(here.runs / run.id).create(run.record, {})
    folder = RunFolder(here.runs / made.runs[0].id)
    held = claim(folder)
    assert held is not None
    (here.runs / "ledger.jsonl").write_bytes((executed.runs / "ledger.jsonl").read_bytes())
    for run in made.runs:
        source = executed.runs / run.id
        for name in ("metrics.jsonl", "env.json", "result.json"):
            if run.id != folder.id:
                (here.runs / run.id / name).write_bytes((source / name).read_bytes())
    with launched(here) as process:
        time.sleep(2)
        assert process.poll() is None
        for name in ("metrics.jsonl", "env.json", "result.json"):
            (folder.path / name).write_bytes((executed.runs / folder.id / name).read_bytes())
        held.release()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert untimed(here) == untimed(executed)


def test_config_says_which_declaration_planned_a_run(executed: Lab) -> None:
    made = planned(executed)
    config = json.loads((executed.runs / made.runs[0].id / "config.json").read_text())
    assert config["planned_by"] == {"study": "tiny", "digest": made.study.digest}
    assert executed.report()["study"]["digest"] == made.study.digest
    assert Ledger.of(executed.runs).read()[0]["digest"] == made.study.digest


def test_a_plan_of_complete_runs_needs_no_time(executed: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(executed.study), "--runs", str(executed.runs)]) == 0
    out = capsys.readouterr().out
    assert "All 4 runs are complete." in out
    assert "Pilot: these runs end without a verdict" in out


@pytest.mark.slow
def test_a_run_on_two_ranks_gives_the_value_of_one(executed: Lab, tmp_path: Path) -> None:
    made = planned(executed)
    tally = Launcher(made, tmp_path, [Slot((), ranks=2)], Display()).execute()
    assert not tally.failed
    assert len(tally.trained) == 4
    for run in made.runs:
        ours, theirs = RunFolder(tmp_path / run.id).result(), RunFolder(executed.runs / run.id).result()
        assert ours is not None
        assert theirs is not None
        assert ours["value"] == pytest.approx(theirs["value"], abs=1e-4)
        assert RunFolder(tmp_path / run.id).environment()["ranks"] == "2"
