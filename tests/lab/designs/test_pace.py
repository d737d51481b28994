"""Tokens from measured speeds: an arm that takes longer by a known factor gets fewer by it; measured only once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs import match, pace
from coregpt.lab.planning.load import load
from coregpt.lab.planning.measured import measured
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.ledger import Ledger
from tests.lab.conftest import STUDY, Lab

BASE: dict[str, Any] = {**STUDY["base"], "tokens": 64 * 100}
DEEP = {"plain": {}, "deep": {"model": {"depth": 4}}}
TEST = {"baseline": "plain", "margin": 0.02}
FAR_TOO_LONG = {"deep": 64 * 400}
"""Tokens, so many that no noise can hide it."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SECONDS", 0.0)


def test_the_tokens_are_those_of_a_clock_that_runs_by_depth(
    lab: Callable[..., Lab], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {1: 2.0, 4: 5.0}  # seconds per step by depth, as a simulated clock has it
    monkeypatch.setattr(pace, "_seconds", lambda trainer, step: clock[trainer.run.config.model.depth])
    made = lab(base=BASE, arms=DEEP, test=TEST, match="seconds")
    (paced,) = measured([load(made.study)], made.runs)
    assert [arm.run.tokens for arm in paced.arms] == [64 * 100, 64 * 40]


def test_a_study_trains_what_was_measured_once_and_is_on_record(lab: Callable[..., Lab], quick: None) -> None:
    made = lab(base=BASE, arms=DEEP, test=TEST, match="seconds")
    assert main(made.command("--no-mlflow")) == 0
    events = [entry for entry in Ledger.of(made.runs).read() if entry.event == "paced"]
    assert [entry["digest"] for entry in events] == [load(made.study).digest]
    tokens = events[0]["tokens"]["deep"]
    assert tokens < 64 * 100
    assert tokens % 64 == 0
    report = made.report()
    assert [arm["tokens"] for arm in report["study"]["arms"]] == [64 * 100, tokens]
    assert report["study"]["declaration"]["arms"]["deep"]["tokens"] == 64 * 100
    assert report["study"]["match"] == report["study"]["equal"] == "seconds"
    assert report["study"]["exploratory"] == ""
    assert "tokens were set from speeds measured before the first run" in (
        made.reports / "tiny" / "report.md"
    ).read_text(encoding="utf-8")
    ids = [run["run_id"] for run in report["runs"]]
    assert main(made.command("--no-mlflow")) == 0
    assert [run["run_id"] for run in made.report()["runs"]] == ids
    assert sum(entry.event == "paced" for entry in Ledger.of(made.runs).read()) == 1


def test_seconds_that_came_out_unequal_are_an_error(
    lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A probe that was wrong by far, as on a machine that was busy with something else."""
    monkeypatch.setattr(
        match, "measured", lambda study, planned: {"deep": 64 * 400}
    )  # so long that no noise can hide it
    made = lab(base=BASE, arms=DEEP, test=TEST, match="seconds", seeds=5)
    assert main(made.command("--no-mlflow")) == 1
    assert "match: seconds: deep trained +" in capsys.readouterr().out
    (found,) = made.report()["timing"]["matched"]
    assert found["word"] == "missed"
    assert found["off"] > 0.2


def test_a_plan_measures_and_records_nothing(lab: Callable[..., Lab], quick: None) -> None:
    made = lab(base=BASE, arms=DEEP, test=TEST, match="seconds")
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    assert not Ledger.of(made.runs).read()


def test_real_steps_of_a_deeper_model_take_longer(lab: Callable[..., Lab], quick: None) -> None:
    made = plan(outline(load(lab(base=BASE, arms=DEEP, test=TEST, match="seconds").study)))
    configs = {run.arm: run.config for run in made.runs}
    plugins = {name: made.study.catalogue.instances(config.plugins) for name, config in configs.items()}
    speed = pace.side_by_side(configs, plugins, made.source)
    assert speed["deep"] < speed["plain"]


def test_it_speaks_about_one_gpu_of_this_machine_only(lab: Callable[..., Lab], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="match: seconds is measured on one GPU; it needs 'gpus_per_run: 1'"):
        measured([load(lab(match="seconds", gpus_per_run=2).study)], tmp_path)
    with pytest.raises(ConfigError, match="match: seconds is measured where the runs are trained"):
        plan(outline(load(lab(match="seconds").study)), nodes="cuda")
