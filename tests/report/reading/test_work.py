"""Work beside the plan's, an optimizer's products, and time that nobody counted: each is named, by its own rule."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coregpt.lab.guard.work import nothing
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.updates import UncountedError
from coregpt.report.analysis.summary import summarise
from coregpt.report.drawing.tables import confounds
from coregpt.report.reading.work import worked
from tests.report.studies import run, study


def plan_of(store: Path, work: dict[str, tuple[float, float]]) -> Any:
    """One run of each arm, whose steps of 10 tokens made so many products in passes and in the update."""
    for arm, (passes, optimizer) in work.items():
        step = {"step": 0, "tokens": 10, "update": 1, "passes": passes, "optimizer": optimizer}
        facts = {"steps": [step, {**step, "step": 1, "update": 2}], "tokens": 20, "declared": 20}
        RunFolder(store / arm).create({"id": arm}, {})
        RunFolder(store / arm).write_result({"status": "finished", "value": 1.0, "select": 1.0, "work": facts})
    names = {"adamw": {}, "slower": {}, "muon": {"muon": {}}}
    arms = [SimpleNamespace(name=name, run=SimpleNamespace(plugins=names[name])) for name in work]
    cost = SimpleNamespace(stages=[], flops_per_token=100.0)
    return SimpleNamespace(
        runs=[SimpleNamespace(id=arm, arm=arm, config=SimpleNamespace(precision="fp32")) for arm in work],
        costs=dict.fromkeys(work, cost),
        baseline=arms[0],
        study=SimpleNamespace(arms=arms),
    )


def found_in(store: Path, work: dict[str, tuple[float, float]], planned: float | None = None) -> Any:
    """What is told of these runs; updates are planned to multiply as they did, or `planned`."""

    def updates(plan: Any, arm: str) -> Any:
        return SimpleNamespace(products=lambda step, update: work[arm][1] if planned is None else planned)

    return worked(plan_of(store, work), store, updates)


def test_products_of_an_optimizer_are_told_and_are_its_own(tmp_path: Path) -> None:
    ((found,), notes) = found_in(tmp_path, {"adamw": (1000.0, 0.0), "muon": (1000.0, 310.0)})
    assert notes == ()
    assert found.setting == "products of the optimizer"
    assert found.values == {"adamw": "0 of its passes", "muon": "0.31 of its passes"}
    assert found.why == {"muon": "technique"}


@pytest.mark.parametrize("muon", [0.0, 19.0])
def test_an_optimizer_that_multiplies_as_its_baseline_does_is_not_told(tmp_path: Path, muon: float) -> None:
    assert found_in(tmp_path, {"adamw": (1000.0, 0.0), "muon": (1000.0, muon)}) == ((), ())


def test_arms_of_one_optimizer_are_not_held_against_each_other(tmp_path: Path) -> None:
    """A larger batch has the same update for more tokens."""
    assert found_in(tmp_path, {"adamw": (1000.0, 100.0), "slower": (1000.0, 400.0)}) == ((), ())


def test_more_products_than_planned_are_a_confound(tmp_path: Path) -> None:
    ((found,), _) = found_in(tmp_path, {"adamw": (1000.0, 0.0), "slower": (1030.0, 0.0)})
    assert (found.setting, found.why) == ("products in a step", {"slower": "rest"})


def test_products_outside_of_steps_count_as_part_of_the_run(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"adamw": (1000.0, 0.0), "slower": (1000.0, 0.0)})
    plan.costs["slower"].flops = 2000.0
    own = RunFolder(tmp_path / "slower").result()
    assert own is not None
    for outside, told in ((20.0, ()), (600.0, ({"adamw": "1 of the plan", "slower": "1.3 of the plan"},))):
        RunFolder(tmp_path / "slower").write_result({**own, "work": {**own["work"], "outside": outside}})
        assert tuple(each.values for each in worked(plan, tmp_path)[0]) == told


@pytest.mark.parametrize(
    ("planned", "told"), [(300.0, "1.03 of the plan"), (0.0, "none is planned"), (305.0, ""), (400.0, "")]
)
def test_an_update_that_multiplies_more_than_its_rules_do_is_a_confound(
    tmp_path: Path, planned: float, told: str
) -> None:
    confounds, _ = found_in(tmp_path, {"adamw": (1000.0, 0.0), "muon": (1000.0, 310.0)}, planned)
    found = [each for each in confounds if each.setting == "products of the optimizer, against its plan"]
    assert [(each.values, each.why) for each in found] == (
        [({"adamw": "1 of the plan", "muon": told}, {"muon": "rest"})] if told else []
    )


def results(store: Path, **works: dict[str, Any]) -> Any:
    """The plan of these arms, and what the result of each one's run says of its work."""
    made = plan_of(store, dict.fromkeys(works, (1000.0, 0.0)))
    for arm, work in works.items():
        RunFolder(store / arm).write_result({"status": "finished", "value": 1.0, "select": 1.0, "work": work})
    return made


def one(**more: Any) -> dict[str, Any]:
    step = {"step": 0, "tokens": 10, "update": 1, "passes": 1000.0, "optimizer": 0.0}
    return {"steps": [{**step, **more}], "tokens": 10, "declared": 10}


def test_products_below_the_declared_precision_are_told_of_techniques_and_confound_others(tmp_path: Path) -> None:
    made = results(tmp_path, adamw=one(low=0.0), muon=one(low=300.0), slower=one(low=0.0))
    ((found,), _) = worked(made, tmp_path)
    assert (found.setting, found.why) == ("products below fp32", {"muon": "technique"})
    assert found.values == {"adamw": "0 of all", "muon": "0.3 of all", "slower": "0 of all"}
    for each in made.runs:
        each.config.precision = "bf16"
    assert worked(made, tmp_path) == ((), ())


@pytest.mark.parametrize(("beside", "told"), [(0.4, False), (0.6, True)])
def test_what_other_threads_compute_is_a_confound(tmp_path: Path, beside: float, told: bool) -> None:
    seconds = {"own": 10.0, "beside": beside}
    made = results(
        tmp_path, adamw=one() | {"seconds": {"own": 10.0, "beside": 0.0}}, slower=one() | {"seconds": seconds}
    )
    found = worked(made, tmp_path)[0]
    assert [(each.setting, each.values, each.why) for each in found] == (
        [
            (
                "processor time of other threads",
                {"adamw": "0 of its own", "slower": "0.06 of its own"},
                {"slower": "rest"},
            )
        ]
        if told
        else []
    )


def test_updates_without_a_plan_are_told_and_confound_nothing(tmp_path: Path) -> None:
    def refuse(plan: Any, arm: str) -> Any:
        raise UncountedError("the rule wants numbers")

    made = plan_of(tmp_path, {"adamw": (1000.0, 0.0), "muon": (1000.0, 310.0)})
    confounds, notes = worked(made, tmp_path, refuse)
    assert [each.setting for each in confounds] == ["products of the optimizer"]
    assert notes == ("products of the optimizer of muon have no plan: the rule wants numbers",)


def test_why_a_compiled_runs_last_step_was_not_counted_is_told_once_for_all_runs(tmp_path: Path) -> None:
    made = plan_of(tmp_path, {"adamw": (1000.0, 0.0), "slower": (1000.0, 0.0)})
    for arm in ("adamw", "slower"):
        RunFolder(tmp_path / arm).write_result(
            {"status": "finished", "value": 1.0, "select": 1.0, "work": nothing("out of memory")}
        )
    assert worked(made, tmp_path) == ((), ("products of adamw and slower were not counted: out of memory",))


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
