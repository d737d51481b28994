"""`budget`: the same for every arm, declared before the first run, kept while runs train."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.designs.budget import Budget
from coregpt.lab.execute.allowance import allowance_of
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.planning.load import load
from coregpt.lab.records.ledger import Ledger
from tests.lab.conftest import STUDY, Lab

SHORT = {"seconds_per_run": 1e-6}
"""Less than any run takes."""
SMALL = {**STUDY["base"], "tokens": 64 * 20, "evals": 2}


def ablate(lab: Lab, *extra: str) -> int:
    return main(lab.command("--no-mlflow", *extra))


def events(lab: Lab, name: str) -> list[str]:
    return [entry["run"] for entry in Ledger.of(lab.runs).read() if entry.event == name]


def test_it_is_part_of_the_preregistration(lab: Callable[..., Lab]) -> None:
    plain, some = load(lab().study), load(lab("b", budget={"hours": 8, "usd": 40, "usd_per_gpu_hour": 10}).study)
    assert some.preregistration()["budget"] == {"hours": 8.0, "usd": 40.0, "usd_per_gpu_hour": 10.0}
    assert some.digest != plain.digest
    assert allowance_of(some).hours == 4.0  # the money ends first
    assert allowance_of(plain).hours is allowance_of(plain).seconds_per_run is None


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"usd": 3}, "usd and usd_per_gpu_hour go together"),
        ({}, "expected one of seconds_per_run, hours, usd"),
        ({"hours": -1}, "should be greater than 0"),
        ({"hourz": 1}, "unknown key; did you mean 'hours'?"),
    ],
)
def test_mistakes_are_told(
    lab: Callable[..., Lab], budget: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(lab(budget=budget).study)]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert ": budget" in told


def test_runs_that_take_longer_count_as_failed_in_every_arm(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever trained them: the second study finds them complete."""
    first = lab("first", base=SMALL)
    assert ablate(first) == 0
    second = lab("second", base=SMALL, budget=SHORT)
    assert ablate(second) == 1  # nothing was to be trained, and no comparison has an outcome
    report = second.report()
    assert {run["status"] for run in report["runs"]} == {"failed"}
    assert all("the study's budget is" in run["reason"] for run in report["runs"])
    assert {c["verdict"] for c in report["comparisons"]} <= {"invalid"}
    assert len(events(second, "started")) == 4


def test_a_run_that_goes_on_too_long_is_ended_and_not_tried_again(lab: Callable[..., Lab]) -> None:
    here = lab(base={**STUDY["base"], "tokens": 64 * 6000, "evals": 60}, budget={"seconds_per_run": 0.05})
    assert ablate(here) == 1
    failed = events(here, "failed")
    assert len(set(failed)) == len(failed) == 4
    assert ablate(here) == 1
    assert events(here, "failed") == failed


def test_a_study_stops_when_its_hours_are_spent_and_goes_on_with_more(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(base=SMALL, budget={"hours": 1e-9})
    assert ablate(here, "--jobs", "1") == 13
    assert "its budget is spent" in capsys.readouterr().out
    assert not (here.reports / "tiny" / "report.json").exists()
    begun = len(set(events(here, "started")))
    assert 0 < begun < 4
    assert ablate(here) == 13
    assert len(set(events(here, "started"))) == begun
    more = lab(base=SMALL, budget={"usd": 5, "usd_per_gpu_hour": 1})
    assert ablate(more) == 0
    assert more.report()["study"]["exploratory"] == ""


def test_what_a_run_trained_since_the_last_look_counts(
    lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Launcher, "watch", lambda self: None)
    here = lab(base=SMALL, budget={"hours": 1e-9})
    assert ablate(here, "--jobs", "1") == 13
    assert len(set(events(here, "started"))) == 1


def test_plan_says_whether_it_fits(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    tight = lab(budget={"hours": 1e-6, "seconds_per_run": 0.5})
    assert main(["plan", str(tight.study), "--runs", str(tight.runs)]) == 0
    told = capsys.readouterr().out
    assert "it does not fit" in told
    assert "it would fail" in told
    wide = lab(budget={"usd": 1000, "usd_per_gpu_hour": 2})
    assert main(["plan", str(wide.study), "--runs", str(wide.runs), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert said["budget"]["fits"]
    assert said["budget"]["hours"] == 500


def test_fresh_seeds_have_as_long_as_the_published_ones(lab: Callable[..., Lab]) -> None:
    study = load(lab(budget={"hours": 1, "seconds_per_run": 60}).study)
    assert Budget().fresh(study).designs["budget"] == {"seconds_per_run": 60.0}
    assert Budget().restore(study.preregistration()) == {"budget": {"seconds_per_run": 60.0}}
    assert "budget" not in Budget().fresh(replace(study, designs={"budget": {"hours": 1}})).designs


def test_trials_of_a_study_share_its_budget(lab: Callable[..., Lab], tmp_path: Path) -> None:
    from coregpt.lab.planning.plans import outline, trials_before

    study = load(lab(seeds=6, bracket={}, budget={"hours": 3}).study)
    trials = trials_before(outline(study))
    assert trials is not None
    assert allowance_of(trials.study).hours == 3
