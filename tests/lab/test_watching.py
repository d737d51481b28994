"""Keys that only watch are no part of a run's identity: the same experiment declared anew finds its own runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.execute import rerun
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import STEPS, STUDY, Lab, write_study


@pytest.fixture
def here(executed: Lab, tmp_path: Path) -> Lab:
    """A copy of the executed study, to declare others beside it."""
    shutil.copytree(executed.folder, tmp_path / "here")
    return Lab(tmp_path / "here", executed.data, executed.study)


def again(here: Lab, base: dict[str, Any] | None = None, **changes: Any) -> Lab:
    """The same experiment under another name, with other settings of its base, say, or another test."""
    base = {**STUDY["base"], **(base or {})}
    study = write_study(here.folder / "again.yaml", here.data, base=base, **changes)
    return Lab(here.folder, here.data, study)


def ids(made: Lab) -> list[str]:
    return [run.id for run in plan(outline(load(made.study, store=made.runs))).runs]


def values(made: Lab) -> dict[str, float]:
    return {run["run_id"]: run["value"] for run in made.report()["runs"]}


def test_how_often_a_run_is_looked_at_does_not_name_it(lab: Callable[..., Lab]) -> None:
    same = [{"evals": 3}, {"held_out_curve": True}]
    other = [{"eval_tokens": 512}, {"micro_rows": 1}]
    plain, *found = (ids(lab(base={**STUDY["base"], **base})) for base in ({}, *same, *other))
    assert found[:2] == [plain, plain]
    assert not {*plain} & {*found[2], *found[3]}


def test_an_experiment_declared_anew_is_exploratory(here: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """The attack: more evaluations and another margin and level made "below the margin" to "at least the margin"."""
    made = again(here, {"evals": 3}, test={"baseline": "gelu", "margin": 0.001, "alpha": 0.2})
    assert main(made.command("--no-mlflow")) == 0
    assert "all 4 runs are complete" in capsys.readouterr().out
    report = made.report()
    assert values(made) == values(here)
    assert report["study"]["exploratory"] == (
        "declared when 4 runs of it, of the baseline and of other arms, were complete"
    )
    assert report["headline"].startswith("Exploratory: ")


def test_an_experiment_read_on_other_tokens_is_exploratory_too(here: Lab) -> None:
    made = again(here, {"eval_tokens": 512})
    assert main(made.command("--no-mlflow")) == 0
    assert not values(made).keys() & values(here).keys()
    assert made.report()["study"]["exploratory"] == (
        "declared when 4 runs of it, of the baseline and of other arms, were complete (4 of them with other compile, "
        "eval_bytes, eval_tokens, micro_rows)"
    )
    assert main(made.command("--no-mlflow")) == 0  # and for ever
    assert "4 of them with other" in made.report()["study"]["exploratory"]


def test_one_that_only_the_baseline_of_was_known_is_not(here: Lab) -> None:
    made = again(here, {"eval_tokens": 512}, arms={"gelu": {}, "faster": {"optim": {"lr": 0.004}}})
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    assert main(made.command("--no-mlflow")) == 0
    assert made.report()["study"]["exploratory"] == ""


def test_runs_that_lack_the_curve_of_a_target_are_repeated_to_the_same_bits(
    here: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    before = values(here)
    made = again(here, {"evals": 3}, test={"baseline": "gelu", "margin": 0.02, "target": 2.0})
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    said = (
        "4 runs are there, and not evaluated as this study needs (on held_out after steps 0, 40, 80). They are "
        "trained again, to the same result."
    )
    assert said in capsys.readouterr().out
    assert main(["plan", str(made.study), "--runs", str(made.runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["repeated"] == [said]
    recorded = made.recorded()
    assert main(["plan", str(made.study), "--runs", str(made.runs), "--emit", "sbatch"]) == 2
    assert f"{said} A script cannot do that" in capsys.readouterr().err
    assert made.recorded() == recorded
    assert main(made.command("--no-mlflow")) == 0
    assert said in capsys.readouterr().out
    assert values(made) == before
    run = made.report()["runs"][0]
    assert [point[0] for point in run["curve"]] == [0, 40, 80, STEPS]
    assert run["curve"][-1][-1] == run["value"]
    events = [entry.event for entry in Ledger.of(made.runs).read() if entry.get("run") == run["run_id"]]
    assert events == ["started", "ended", "rerun", "started", "ended"]
    assert main(here.command("--no-mlflow")) == 0  # which needs them no more, and finds them
    assert values(here) == before
    assert main(made.command("--no-mlflow")) == 0
    assert "all 4 runs are complete" in capsys.readouterr().out


def test_a_run_that_would_not_come_out_again_here_is_not_repeated(
    here: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rerun, "elsewhere", lambda folder, config: ["torch 1.0, here 2.0"])
    made = again(here, test={"baseline": "gelu", "margin": 0.02, "target": 2.0})
    before = here.recorded()
    for command in (["plan", str(made.study), "--runs", str(made.runs)], made.command("--no-mlflow")):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert (
            "test: needs gelu, seed 0, evaluated on held_out after steps 0, 24, 48, 72 and 1 more, which it was not"
            in said
        )
        assert "computed with torch 1.0, here 2.0" in said
        assert "(--runs DIR)" in said
    assert here.recorded() == before


def test_an_unfinished_run_goes_on_with_more_looks(executed: Lab, lab: Callable[..., Lab], tmp_path: Path) -> None:
    """Two studies share a run that has not ended: neither takes the other's curve away."""
    record = plan(outline(load(lab(base={**STUDY["base"], "held_out_curve": True}).study))).runs[0].record
    plain = plan(outline(load(lab().study))).runs[0]
    folder = RunFolder(tmp_path / plain.id)
    folder.create(record, {})
    folder.create(plain.record, {})
    assert folder.config()["config"]["held_out_curve"] is True
