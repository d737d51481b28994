"""A study of a script in the manner of public ones: from one file to a report, the user's files untouched."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.command.running import clones
from tests.lab.command.conftest import SAID, commit, write_study
from tests.lab.command.test_running import everything


def call(folder: Path, study: Path, *more: str) -> list[str]:
    places = ["--runs", str(folder / "runs"), "--reports", str(folder / "reports")]
    return ["ablate", str(study), *places, "--no-mlflow", *more]


def report(folder: Path, study: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "reports" / study.stem / "report.json").read_text())
    return found


def without_clocks(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "timing"}


def test_a_study_of_a_script_runs_to_its_report(tmp_path: Path, nano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, before = write_study(tmp_path / "mine.yaml"), everything(nano)
    assert main(call(tmp_path, study)) == 0
    assert everything(nano) == before
    found = report(tmp_path, study)
    (comparison,) = found["comparisons"]
    assert comparison["verdict"] == "better"
    assert comparison["gain"] == pytest.approx(0.03, abs=0.01)
    assert "code: train.py +1 -1" in comparison["sentence"]
    program = found["study"]["program"]
    assert (program["same"], program["repeated_seed"]) == (True, 0)
    assert program["unreported"] == ["parameters", "tokens", "FLOPs"]
    assert "+    loss = 4.0 - 0.02 * it - 60 * learning_rate" in program["arms"][1]["diff"]
    assert [arm["parameters"] for arm in found["study"]["arms"]] == [None, None]
    assert {run["status"] for run in found["runs"]} == {"finished"}
    text = (tmp_path / "reports" / "mine" / "report.md").read_text()
    assert "as reported by the program" in text
    assert "random.seed(1337 + 1000" in text
    assert text.index("## Source differences") > text.index("## Reproduce")
    capsys.readouterr()

    # Nothing is trained twice: the same call, another study on the same baseline.
    assert main(call(tmp_path, study)) == 0
    assert "nothing to train" in capsys.readouterr().out
    other = write_study(
        tmp_path / "other.yaml",
        arms={"base": {"command": {"at": "main"}}, "lr": {"command": {"set": {"lr": 0.002}}}},
        test={"baseline": "base"},
    )
    assert main(["plan", str(other), "--runs", str(tmp_path / "runs")]) == 0
    assert "Time: about" in capsys.readouterr().out
    assert main(call(tmp_path, other)) == 0
    assert "5 runs to train" in capsys.readouterr().out

    # The commands that look after runs.
    runs = ["--runs", str(tmp_path / "runs")]
    assert (
        main(["ls", *runs])
        == main(["status", "mine", *runs])
        == main(["logs", "main/0", "--study", "mine", *runs])
        == 0
    )
    assert "Overriding: learning_rate" in capsys.readouterr().out
    assert main(["rerun", "main/1", "--study", "mine", *runs]) == 0
    assert "as before" in capsys.readouterr().out
    assert any(clones().iterdir())
    assert main(["gc", "--yes", *runs]) == 0
    assert not list(clones().glob("*"))
    published = tmp_path / "reports" / "mine" / "report.json"
    assert main(["verify", str(published), "--seeds", "3", *runs]) == 0


def test_a_seed_that_does_nothing_stops_the_study(
    tmp_path: Path, nano: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = {"command": {**SAID, "edit": {}, "env": {"UNREAD": "{seed}"}}, "device": "cpu"}
    study = write_study(tmp_path / "same.yaml", base=base)
    assert main(call(tmp_path, study)) == 2
    said = capsys.readouterr()
    assert "gave the same numbers to the last digit" in said.err
    assert "usual reasons" in said.err
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 2
    assert main(call(tmp_path, study)) == 2


def test_what_is_wrong_is_told_before_anything_is_declared(
    tmp_path: Path, nano: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"main": {"command": {"at": "main"}}, "copy": {"command": {"at": "HEAD"}}}
    for changes, words in (
        ({"arms": same}, "is the same as 'main', byte for byte"),
        ({"arms": same}, "coregpt placebo"),
        ({"arms": {"main": {}, "ours": {"command": None, "tokens": 4096}}}, "all arms are of one kind"),
        ({"arms": {"main": {}, "b": {"tokens": 4096, "command": {"at": "candidate"}}}}, "setting of our trainer"),
        ({"arms": {"main": {}, "b": {"command": {"at": "candidate", "time_limit": "2m"}}}}, "must have the same time"),
        ({"arms": {"main": {}, "b": {"command": {"at": "candidate", "metric": {"final": "lowest"}}}}}, "same numbers"),
        ({"arms": {"main": {}, "b": {"command": {"at": "none"}}}}, "b.command.at: 'none' is no branch"),
        ({"match": "flops"}, "which nobody can in a program"),
        ({"gpus_per_run": "auto"}, "say how many GPUs"),
        ({"equal": "flops"}, "is not counted here"),
        ({"test": {"metric": "val_los", "baseline": "main"}}, "test.metric is val_los; did you mean 'val_loss'"),
    ):
        study = write_study(tmp_path / "wrong.yaml", **changes)
        assert main(call(tmp_path, study)) == 2
        said = capsys.readouterr().err
        assert words in said, said
        assert "Traceback" not in said
        assert not (tmp_path / "runs").exists()


def test_numbers_that_do_not_come_again_are_told(
    tmp_path: Path, nano: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (nano / "train.py").read_text()
    commit(
        nano,
        "Not deterministic",
        train_py=script.replace("random.gauss(0, 0.002)", "random.SystemRandom().gauss(0, 0.002)"),
    )
    arms = {"main": {"command": {"at": "main"}}, "mine": {"command": {"set": {"lr": 2e-3}}}}
    study = write_study(tmp_path / "noisy.yaml", arms=arms)
    assert main(call(tmp_path, study)) == 0
    said = capsys.readouterr().out
    assert "The program is not deterministic: main, seed 0 was made twice" in said
    assert "Repetition noise" in said
    assert main(["rerun", "main/1", "--runs", str(tmp_path / "runs")]) == 2
    assert "gives other numbers with an equal seed" in capsys.readouterr().err


def test_a_broken_program_stops_the_study_at_once(
    tmp_path: Path, nano: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = {"command": {**SAID, "metric": {"pattern": "validation: {val_loss}"}}, "device": "cpu"}
    assert main(call(tmp_path, write_study(tmp_path / "broken.yaml", base=base))) == 1
    said = capsys.readouterr().out
    assert "no line is like 'validation: {val_loss}'; the nearest is" in said
    assert "the study stops here" in said


@pytest.mark.slow
def test_a_study_that_is_killed_five_times_gives_the_same_report(tmp_path: Path, nano: Path) -> None:
    script = (nano / "train.py").read_text()
    commit(nano, "Slower", train_py=script.replace("import random, sys", "import random, sys, time; time.sleep(0.5)"))
    arms = {"main": {"command": {"at": "main"}}, "mine": {"command": {"set": {"lr": 2e-3}}}}
    study = write_study(tmp_path / "mine.yaml", arms=arms)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(call(whole, study)) == 0
    for place in range(5):
        child = subprocess.Popen([sys.executable, "-m", "coregpt.cli", *call(killed, study)], start_new_session=True)
        done = len(list(killed.glob("runs/*/result.json")))
        until = time.monotonic() + 60
        while time.monotonic() < until and len(list(killed.glob("runs/*/result.json"))) < done + 1 + place % 2:
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert main(call(killed, study)) == 0
    first, second = (without_clocks(report(folder, study)) for folder in (whole, killed))
    assert first == second
