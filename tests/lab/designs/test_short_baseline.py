"""Targets and yardsticks from the study file to the report, through the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.redeclare import for_fresh_seeds
from tests.lab.conftest import Lab

SHORT = "gelu at 0.8 of its tokens"


def test_the_yardstick_is_the_baseline_with_its_own_shorter_run(lab: Callable[..., Lab]) -> None:
    study = load(lab(test={"baseline": "gelu", "yardstick": 0.8}).study)
    assert [arm.name for arm in study.arms] == ["gelu", "relu2", SHORT]
    assert [arm.name for arm in study.compared] == ["gelu", "relu2"]
    base, short = study.arms[0].run, study.arms[2].run
    assert short.model_dump() | {"tokens": base.tokens} == base.model_dump()
    made = plan(outline(study))
    assert (made.costs["gelu"].steps, made.costs[SHORT].steps) == (120, 96)
    assert {run.seed for run in made.runs if run.arm == SHORT} == set(study.seeds)


def test_it_is_declared_by_its_share_and_older_digests_stay(lab: Callable[..., Lab]) -> None:
    plain = load(lab().study).preregistration()
    assert "target" not in plain["test"]
    assert "yardstick" not in plain["test"]
    study = load(lab(test={"baseline": "gelu", "margin": 0.02, "yardstick": 0.8, "target": 2.5}).study)
    declared = study.preregistration()
    assert declared["test"] == plain["test"] | {"yardstick": 0.8, "target": 2.5}
    along = {name: {**settings, "held_out_curve": True} for name, settings in plain["arms"].items()}
    assert declared["arms"] == along  # a target is a step of the curve on held_out
    assert for_fresh_seeds(study).digest == study.digest


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ({"target": 0}, "test.target: should be greater than 0"),
        ({"target": float("inf")}, "test.target: should be a finite number"),
        ({"yardstick": 0.2}, "test.yardstick: should be greater than or equal to 0.3"),
        ({"yardstick": 0.96}, "test.yardstick: should be less than or equal to 0.95"),
        ({"yardstick": "most"}, "test.yardstick: should be a valid number"),
    ],
)
def test_a_value_out_of_range_is_one_message(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], test: dict[str, Any], words: str
) -> None:
    here = lab(test={"baseline": "gelu", **test})
    assert main(here.command("--no-mlflow")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "tiny.yaml:" in line
    assert not here.runs.exists()


def test_a_factorial_has_no_place_for_a_yardstick(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    techniques = {"relu2": {}, "swiglu": {}}
    here = lab(arms=None, mode="factorial", techniques=techniques, test={"yardstick": 0.8})
    text = here.study.read_text().replace("arms: null\n", "")
    here.study.write_text(text)
    assert main(here.command("--no-mlflow")) == 2
    assert "'mode: factorial' makes its arms" in capsys.readouterr().err


def test_plan_says_what_is_held_equal(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    here = lab(test={"baseline": "gelu", "yardstick": 0.8})
    assert main(["plan", str(here.study), "--runs", str(here.runs)]) == 0
    shown = capsys.readouterr().out
    assert "Held equal: tokens, 7680 in every arm" in shown
    assert "6 runs" in shown
    assert main(["plan", str(lab(equal="seconds").study), "--runs", str(here.runs)]) == 0
    assert "Held equal: seconds, measured after the runs" in capsys.readouterr().out


def test_a_study_with_both_is_run_reported_and_verified(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    test = {"baseline": "gelu", "margin": 0.02, "target": 2.7, "yardstick": 0.5}
    here = lab(seeds=5, test=test)
    assert main(here.command("--no-mlflow")) == 0
    found = here.report()
    assert [c["arm"] for c in found["comparisons"]] == ["relu2"]
    assert found["study"]["confounds"] == []
    assert found["yardstick"]["full_steps"] == 120
    assert found["yardstick"]["short_steps"] == 60
    assert found["yardstick"]["slope"] > 0
    assert [claim["arm"] for claim in found["targets"]["claims"]] == ["gelu", "relu2"]
    assert [race["axis"] for race in found["targets"]["races"]] == ["steps", "tokens", "flops"]
    assert found["timing"]["to_target"]["axis"] == "seconds"
    finals = {run["seed"]: run["value"] for run in found["runs"] if run["arm"] == "gelu"}
    short = {run["seed"]: run["value"] for run in found["runs"] if run["arm"].startswith("gelu at")}
    slope = sum(short[seed] - finals[seed] for seed in finals) / 5 / 60
    assert found["yardstick"]["slope"] == pytest.approx(slope)
    capsys.readouterr()
    report = here.reports / "tiny" / "report.json"
    assert main(["verify", str(report), "--seeds", "2", "--runs", str(tmp_path / "fresh")]) in (0, 1)
    assert "2 fresh seeds per arm" in capsys.readouterr().out
    assert len(list((tmp_path / "fresh").glob("*/result.json"))) == 4
