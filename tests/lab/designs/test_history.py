"""Borrowed noise and declared screens: what is read, what is refused, what they are worth."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coregpt.cli import main
from coregpt.lab.designs.history import _contrasts
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.report.analysis.collect import collect
from coregpt.report.analysis.summary import summarise
from tests.lab.conftest import STUDY, Lab, write_study

SHORT = {**STUDY["base"], "tokens": 64 * 6, "evals": 2}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """The report of three arms with 6 seeds, trained for a few steps."""
    folder = tmp_path_factory.mktemp("earlier")
    arms = {"gelu": {}, "relu2": {"plugins": {"relu2": {}}}, "wide": {"optim": {"lr": 0.01}}}
    made = Lab(folder, shards, write_study(folder / "past.yaml", shards, base=SHORT, seeds=6, arms=arms))
    assert main(made.command("--no-mlflow")) == 0
    return folder / "reports" / "past" / "report.json"


def test_contrasts_of_arms_are_independent_and_vary_like_a_paired_difference() -> None:
    """Six arms that share a seed effect: every contrast varies with 2 sigma^2, and no two are correlated."""
    rng = np.random.default_rng(0)
    seeds = list(range(20000))
    shared = rng.normal(0, 5, len(seeds))
    values = {f"a{i}": shared + rng.normal(0, 0.3, len(seeds)) for i in range(6)}
    runs = [
        {"arm": arm, "seed": s, "status": "finished", "value": v}
        for arm, row in values.items()
        for s, v in enumerate(row)
    ]
    found = _contrasts({"study": {"arms": [{"name": arm} for arm in values], "seeds": seeds}, "runs": runs})
    assert np.cov(found) == pytest.approx(2 * 0.3**2 * np.eye(5), abs=0.006)


def test_the_report_says_what_was_borrowed_and_uses_it(lab: Callable[..., Lab], earlier: Path) -> None:
    test = {"baseline": "gelu", "history": [str(earlier)]}
    made = lab(base=SHORT, seeds=[10, 11, 12], test=test)
    assert main(made.command("--no-mlflow")) == 0
    report = made.report()
    table = np.array([[run["value"] for run in json.loads(earlier.read_text())["runs"]]]).reshape(3, 6)
    assert report["study"]["prior"]["files"] == {str(earlier): hashlib.sha256(earlier.read_bytes()).hexdigest()}
    assert report["study"]["declaration"]["history"]["files"] == report["study"]["prior"]["files"]
    assert report["design"]["method"] == "moderated"
    (c,) = report["comparisons"]
    df, variance = report["study"]["prior"]["df"], report["study"]["prior"]["variance"]
    assert 0 < df <= 2 * (table.shape[1] - 1)
    runs = {(run["arm"], run["seed"]): run["value"] for run in report["runs"]}
    d = np.array([runs["gelu", s] - runs["relu2", s] for s in (10, 11, 12)])
    assert c["df"] == pytest.approx(df + 2)
    assert c["se"] == pytest.approx(((df * variance + 2 * d.var(ddof=1)) / (df + 2) / 3) ** 0.5)
    assert str(earlier) in (made.reports / "tiny" / "report.md").read_text()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seeds": [10, 11, 12, 13, 14]}, "test.history: is for 3 or 4 seeds, not 5"),
        ({"seeds": [10, 11]}, "test.history: is for 3 or 4 seeds, not 2"),
        ({"seeds": [3, 10, 11]}, "2 runs of this study are runs of its history"),
        ({"base": {**SHORT, "batch_tokens": 32}}, "test.history: batch_tokens is 32, but 64 in"),
        ({"base": {**SHORT, "model": {**SHORT["model"], "dim": 16}}}, "test.history: model is"),
        ({"arms": {**STUDY["arms"], "third": {"tokens": 64}}}, "test.history: is for one arm against the baseline"),
    ],
)
def test_another_setup_is_refused(
    lab: Callable[..., Lab],
    capsys: pytest.CaptureFixture[str],
    earlier: Path,
    changes: dict[str, Any],
    expected: str,
) -> None:
    test = {"baseline": "gelu", "history": [str(earlier)]}
    made = lab(**{"base": SHORT, "seeds": [10, 11, 12], "test": test, **changes})
    assert main(made.command("--no-mlflow")) == 2
    assert expected in capsys.readouterr().err
    assert not made.runs.exists()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"study": {}}'])
def test_a_history_that_is_no_report_is_refused(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "old.json").write_text(content)
    made = lab(seeds=[10, 11, 12], test={"baseline": "gelu", "history": ["old.json"]})
    assert main(made.command("--no-mlflow")) == 2
    assert "test.history: old.json" in capsys.readouterr().err


def test_an_edited_history_is_another_preregistration(lab: Callable[..., Lab], earlier: Path, tmp_path: Path) -> None:
    copy = tmp_path / "old.json"
    copy.write_text(earlier.read_text())
    made = lab(base=SHORT, seeds=[10, 11, 12], test={"baseline": "gelu", "history": ["old.json"]})
    before = load(made.study).digest
    copy.write_text(earlier.read_text() + "\n")
    assert load(made.study).digest != before


def test_a_screen_needs_ten_arms(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    made = lab(test={"baseline": "gelu", "screen": 0.1})
    assert main(made.command()) == 2
    assert "test.screen: is for 10 or more arms besides the baseline, not 1" in capsys.readouterr().err


def test_a_plan_of_a_screen_asks_for_fresh_seeds(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    arms = {"gelu": {}, **{f"lr{i}": {"optim": {"lr": 0.0015 * i}} for i in range(1, 11)}}
    made = lab(base=SHORT, seeds=3, arms=arms, test={"baseline": "gelu", "screen": 0.1})
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    assert "on fresh seeds" in capsys.readouterr().out
    facts, runs = collect(plan(outline(load(made.study))), made.runs)
    assert (facts.screen, summarise(facts, runs).design.method) == (0.1, "screen_pooled")
