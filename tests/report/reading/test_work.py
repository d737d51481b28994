"""Work beside the plan's, an optimizer's products, and time that nobody counted: each is named, by its own rule."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coregpt.lab.records.store import RunFolder
from coregpt.report.analysis.summary import summarise
from coregpt.report.drawing.tables import confounds
from coregpt.report.reading.work import worked
from tests.report.studies import run, study


def plan_of(store: Path, work: dict[str, tuple[float, float]]) -> Any:
    """One run of each arm, whose steps of 10 tokens made so many products in passes and in the update."""
    for arm, (passes, optimizer) in work.items():
        step = {"step": 0, "tokens": 10, "passes": passes, "optimizer": optimizer}
        facts = {"steps": [step, {**step, "step": 1}], "tokens": 20, "declared": 20}
        RunFolder(store / arm).create({"id": arm}, {})
        RunFolder(store / arm).write_result({"status": "finished", "value": 1.0, "select": 1.0, "work": facts})
    names = {"adamw": {}, "slower": {}, "muon": {"muon": {}}}
    arms = [SimpleNamespace(name=name, run=SimpleNamespace(plugins=names[name])) for name in work]
    cost = SimpleNamespace(stages=[], flops_per_token=100.0)
    return SimpleNamespace(
        runs=[SimpleNamespace(id=arm, arm=arm) for arm in work],
        costs=dict.fromkeys(work, cost),
        baseline=arms[0],
        study=SimpleNamespace(arms=arms),
    )


def test_products_of_an_optimizer_are_told_and_are_its_own(tmp_path: Path) -> None:
    (found,) = worked(plan_of(tmp_path, {"adamw": (1000.0, 0.0), "muon": (1000.0, 310.0)}), tmp_path)
    assert found.setting == "products of the optimizer"
    assert found.values == {"adamw": "0 of its passes", "muon": "0.31 of its passes"}
    assert found.why == {"muon": "technique"}


@pytest.mark.parametrize("muon", [0.0, 19.0])
def test_an_optimizer_that_multiplies_as_its_baseline_does_is_not_told(tmp_path: Path, muon: float) -> None:
    assert worked(plan_of(tmp_path, {"adamw": (1000.0, 0.0), "muon": (1000.0, muon)}), tmp_path) == ()


def test_arms_of_one_optimizer_are_not_held_against_each_other(tmp_path: Path) -> None:
    """A larger batch has the same update for more tokens."""
    assert worked(plan_of(tmp_path, {"adamw": (1000.0, 100.0), "slower": (1000.0, 400.0)}), tmp_path) == ()


def test_more_products_than_planned_are_a_confound(tmp_path: Path) -> None:
    (found,) = worked(plan_of(tmp_path, {"adamw": (1000.0, 0.0), "slower": (1030.0, 0.0)}), tmp_path)
    assert (found.setting, found.why) == ("products in a step", {"slower": "rest"})


@pytest.mark.parametrize(
    ("slower", "flops", "told"), [(1.6, 1.0, "1.6 times"), (1.4, 1.0, ""), (1.6, 1.2, ""), (2.4, 1.5, "1.6 times")]
)
def test_time_beyond_what_flops_explain_is_named(slower: float, flops: float, told: str) -> None:
    """By the time per token over the FLOPs per token, both against the baseline's."""
    made = study(seeds=3)
    gpt, ngpt = made.arms
    made = made.model_copy(
        update={"arms": (gpt, ngpt.model_copy(update={"flops_per_token": flops * gpt.flops_per_token}))}
    )
    runs = [
        run(arm, seed, 3.0 + seed / 10, speed=speed)
        for arm, speed in (("gpt", 100.0), ("ngpt", 100.0 / slower))
        for seed in range(3)
    ]
    rows = confounds(summarise(made, runs)).rows
    found = [row for row in rows if row[0] == "time per token, against what its FLOPs explain"]
    assert found == ([(found[0][0], "–", told, "more than its FLOPs explain")] if told else [])
