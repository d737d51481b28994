"""A real study that is bracketed first: from its file to its report, killed, edited and verified."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coregpt.cli import main
from coregpt.lab.planning.load import load
from coregpt.lab.planning.preregister import announce, register
from coregpt.lab.records.ledger import Entry, Ledger
from tests.lab.conftest import Lab, write_study
from tests.lab.designs.test_bracket import TINY, trials_of
from tests.lab.execute.test_launcher import launched, untimed, wait_for_training, wait_until_free


@pytest.fixture(scope="module")
def bracketed(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """A study bracketed and tested once, for all tests that only read it."""
    folder = tmp_path_factory.mktemp("bracketed")
    made = Lab(folder, shards, write_study(folder / "tiny.yaml", shards, **TINY))
    assert main(made.command("--no-mlflow")) == 0
    return made


def entries(made: Lab) -> list[Entry]:
    return Ledger.of(made.runs).read()


def test_the_test_runs_at_what_the_fit_of_its_own_results_says(bracketed: Lab) -> None:
    """The parabola or cubic again by numpy, from the run folders alone."""
    report = bracketed.report()
    for each in report["study"]["bracket"]["arms"]:
        x = np.array([point["x"] for point in each["points"]])
        y = np.array([np.mean(point["losses"]) for point in each["points"]])
        best = x[y.argmin()]
        near = np.abs(x - best) <= 1
        if each["kind"] != "best point":
            curve = np.polynomial.Polynomial.fit(x[near], y[near], 2 if each["kind"] == "parabola" else 3).convert()
            assert curve.coef == pytest.approx(each["coefficients"], rel=1e-6, abs=1e-9)
            assert curve.deriv()(each["minimum"]) == pytest.approx(0, abs=1e-6)
        tests = [run for run in report["runs"] if run["arm"] == each["arm"]]
        configs = [json.loads((bracketed.runs / run["run_id"] / "config.json").read_text())["config"] for run in tests]
        assert {config["optim"]["lr"] for config in configs} == {each["value"]}
        assert each["value"] == pytest.approx(0.02 * 2 ** each["optimum"], rel=1e-5)
        assert {config["seed"] for config in configs} == set(range(5))
        assert each["seeds"] == [1000, 1001]


def test_every_run_of_the_walk_is_counted_and_no_other_was_trained(bracketed: Lab) -> None:
    arms = bracketed.report()["study"]["bracket"]["arms"]
    started = [e for e in entries(bracketed) if e.event == "started" and e["study"] == "tiny-bracket"]
    for each in arms:
        own = [entry for entry in started if entry["arm"].startswith(f"{each['arm']}/")]
        assert len(own) == each["runs"] == each["started"] == 2 * len(each["points"])
        assert each["flops"] > 0
    assert len(started) == sum(each["runs"] for each in arms)
    assert set(bracketed.report()["timing"]["tuning"]) == {"gelu", "relu2"}


def test_the_declaration_stands_before_the_first_trial_and_the_settings_before_the_test(bracketed: Lab) -> None:
    digest = load(bracketed.study).digest
    assert bracketed.report()["study"]["digest"] == digest
    told = [e for e in entries(bracketed) if e.event != "chained"]
    kinds = [(e.event, e.get("study")) for e in told]
    assert kinds[0] == ("declared", "tiny")
    assert told[0]["digest"] == digest
    assert kinds.index(("declared", "tiny-bracket")) < kinds.index(("started", "tiny-bracket"))
    assert kinds.index(("frozen", "tiny")) < kinds.index(("started", "tiny"))
    assert not bracketed.report()["study"]["exploratory"]


def test_a_second_call_trains_nothing_and_writes_the_same_report(bracketed: Lab) -> None:
    before, length = bracketed.report(), len(entries(bracketed))
    assert main(bracketed.command("--no-mlflow")) == 0
    assert bracketed.report() == before
    assert len(entries(bracketed)) == length


def test_a_plan_says_what_comes_first_and_what_it_takes_on_average(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    made = lab(**TINY)
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    out = capsys.readouterr().out
    assert "Bracket first: optim.lr of every arm in octave steps" in out
    assert "about 5.5 values an arm, 22 runs" in out
    assert "22 runs, which is the average, take about" in out
    assert "with the settings as written" in out
    assert not made.runs.exists()


def test_a_plan_of_a_bracketed_study_says_what_was_found(bracketed: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(bracketed.study), "--runs", str(bracketed.runs)]) == 0
    out = capsys.readouterr().out
    for each in bracketed.report()["study"]["bracket"]["arms"]:
        assert f"{each['arm']}: {len(each['points'])} values of optim.lr tried" in out


def test_a_report_is_verified_at_its_own_settings_on_seeds_that_chose_nothing(bracketed: Lab, tmp_path: Path) -> None:
    source, runs = bracketed.reports / "tiny" / "report.json", tmp_path / "runs"
    assert main(["verify", str(source), "--seeds", "2", "--runs", str(runs)]) in (0, 1)
    value = {each["arm"]: each["value"] for each in bracketed.report()["study"]["bracket"]["arms"]}
    started = [entry for entry in Ledger.of(runs).read() if entry.event == "started"]
    assert {entry["arm"] for entry in started} == {"gelu", "relu2"}
    for entry in started:
        config = json.loads((runs / entry["run"] / "config.json").read_text())["config"]
        assert config["optim"]["lr"] == value[entry["arm"]]
        assert config["seed"] > 1001


def test_a_bracket_killed_on_the_way_comes_to_the_same_report(bracketed: Lab, lab: Callable[..., Lab]) -> None:
    made = lab(**TINY)
    process = launched(made)
    wait_for_training(made)
    process.kill()
    process.wait()
    wait_until_free(made)
    assert main(made.command("--no-mlflow")) == 0
    assert untimed(made) == untimed(bracketed)


def edited(made: Lab, **changes: Any) -> Lab:
    """The same folder, its study file with other keys."""
    write_study(made.study, made.data, **{**TINY, **changes})
    return made


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bracket": {"seeds": 3}}, "amended after"),
        ({"test": {**TINY["test"], "margin": 0.03}}, "amended after"),
    ],
)
def test_a_study_changed_after_its_runs_is_exploratory_and_goes_on(
    bracketed: Lab, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """The trials are declared a second time, under the names that their runs have."""
    shutil.copytree(bracketed.folder, tmp_path / "copy")
    copied = Lab(tmp_path / "copy", bracketed.data, tmp_path / "copy" / "tiny.yaml")
    for _ in range(2):
        assert main(edited(copied, **changes).command("--no-mlflow")) == 0
    assert words in copied.report()["study"]["exploratory"]
    arms = {arm for e in entries(copied) if e.event in ("declared", "amended") for arm in e["declaration"]["arms"]}
    assert {arm for e in entries(copied) if e.event in ("declared", "amended") for _, arm, _ in e["runs"]} <= arms


def test_status_says_that_settings_come_first_and_ends_when_the_walk_does(
    bracketed: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--runs", str(bracketed.runs)]) == 0
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith("tiny-bracket"))
    assert "100%" in line
    assert "waiting" not in line
    study, trials = load(bracketed.study), trials_of(bracketed)
    announce(study, trials, tmp_path)
    register(trials, tmp_path)
    assert main(["status", "--runs", str(tmp_path)]) == 0
    assert "settings are found first" in capsys.readouterr().out
    assert main(["status", "tiny", "--runs", str(tmp_path)]) == 0
    assert "settings are found first" in capsys.readouterr().out


def test_a_rate_beyond_all_numbers_is_told(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    made = lab(**{**TINY, "arms": {"gelu": {}, "hot": {"optim": {"lr": 1e308}}}})
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 2
    assert "arm 'hot': no common factor on optim.lr doubles every learning rate" in capsys.readouterr().err


def test_arms_that_no_trial_could_tune_are_not_tested(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are best at the highest rate that a walk comes to from so low."""
    made = lab(**{**TINY, "base": {**TINY["base"], "tokens": 64 * 10, "optim": {"lr": 1e-6}}})
    assert main(made.command("--no-mlflow", "--exit-verdict")) == 13
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("the test was not started: none of its comparisons could be valid (gelu is not tuned: ")
    assert "relu2 is not tuned: " in last
    assert "declare values nearer to the best ones tried" in last
    assert all("/x" in entry["arm"] for entry in entries(made) if entry.event == "started")
    assert not any(entry.event == "frozen" for entry in entries(made))
    assert not list(made.reports.rglob("*.json"))
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    assert "WARNING: the test will not be started: none of its" in capsys.readouterr().out
    assert main(made.command("--no-mlflow", "--json")) == 13
    (said,) = json.loads(capsys.readouterr().out)["results"]
    assert (said["kind"], said["study"]) == ("untuned", "tiny")
