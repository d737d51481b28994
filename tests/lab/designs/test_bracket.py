"""A bracket: which rates are trained when, from results on disk, and what is declared of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.bracket import RATES, bracket_of, results, trial_name, walked, walkers
from coregpt.lab.execute.tasks import known, missing
from coregpt.lab.planning.load import load
from coregpt.lab.planning.pilot import refuse_undecidable
from coregpt.lab.planning.plans import outline, plan, trials_before
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab

TINY: dict[str, Any] = {
    "base": {**STUDY["base"], "tokens": 64 * 40, "optim": {"lr": 0.02}},
    "seeds": 5,
    "test": {**STUDY["test"], "sd": 0.02},
    "bracket": {},
}
THREE = {**STUDY["arms"], "wide": {"model": {"hidden": 48}}}
NAN = float("nan")


def trials_of(made: Lab) -> Plan:
    found = trials_before(outline(load(made.study)))
    assert found is not None
    return plan(found)


def finish(made: Plan, store: Path, curve: Callable[[str, float], float]) -> None:
    """Results of every run that is missing now: the loss of an arm x octaves from its declared rate; NaN diverged."""
    octaves = {trial_name(arm, x): (arm, x) for arm in walkers(made) for x in RATES}
    for task in missing(made, store):
        value = curve(*octaves[task.run.arm]) + 0.001 * (task.run.seed % 7)
        folder = RunFolder(store / task.run.id)
        folder.create(task.run.record, {})
        ended = {"status": "diverged"} if np.isnan(value) else {"status": "finished", "value": 9.9, "select": value}
        folder.write_result({**ended, "reason": "nan"})


def cells(made: Plan, store: Path) -> set[tuple[str, int]]:
    return {(task.run.arm, task.run.seed) for task in missing(made, store)}


def names(arm: str, *factors: float) -> set[str]:
    return {f"{arm}/x{factor:.3g}" for factor in factors}


# -- which rates, when -----------------------------------------------------------------------------------------


def test_the_walk_of_each_arm_follows_its_own_losses(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made, store = trials_of(lab(**TINY)), tmp_path / "store"
    best = {"gelu": 0.2, "relu2": 1.8}

    def curve(arm: str, x: float) -> float:
        return 2 + 0.1 * (x - best[arm]) ** 2

    def wanted() -> set[str]:
        assert {seed for _, seed in cells(made, store)} <= {1000, 1001}
        return {arm for arm, _ in cells(made, store)}

    assert wanted() == names("gelu", 0.5, 1, 2) | names("relu2", 0.5, 1, 2)
    assert known(made, store) == 12
    finish(made, store, curve)
    assert wanted() == names("gelu", 2**-0.5, 2**0.5) | names("relu2", 4)
    assert known(made, store) == 18
    finish(made, store, curve)
    assert wanted() == names("relu2", 8)
    finish(made, store, curve)
    assert wanted() == names("relu2", 4 * 2**-0.5, 4 * 2**0.5)
    finish(made, store, curve)
    assert wanted() == set()
    assert known(made, store) == 2 * (5 + 7)


def test_a_rate_counts_once_all_of_its_seeds_have_ended(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made, store = trials_of(lab(**TINY)), tmp_path / "store"
    first = missing(made, store)[0].run
    finish(made, store, lambda arm, x: 2 + x**2)
    (store / first.id / "result.json").unlink()
    arm = first.arm.partition("/")[0]
    assert (first.arm, first.seed) in cells(made, store)
    assert {cell for cell in cells(made, store) if cell[0].startswith(f"{arm}/")} == {(first.arm, first.seed)}


def test_results_that_another_study_left_are_used_only_where_the_walk_comes_to_them(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    """Runs are shared by content, so any rate may be there already; what is tried must not depend on that."""
    made, store = trials_of(lab(**TINY)), tmp_path / "store"

    def curve(arm: str, x: float) -> float:
        return 2 + 0.1 * (x - 0.3) ** 2

    for x in (-4.0, -2.5, 1.0, 3.0, 5.0):
        for run in made.runs:
            if run.arm == trial_name("gelu", x):
                folder = RunFolder(store / run.id)
                folder.create(run.record, {})
                folder.write_result(
                    {"status": "finished", "value": 9.9, "select": 0.5 if x == 5.0 else curve("", x), "reason": ""}
                )
    assert {arm for arm, _ in cells(made, store)} == names("gelu", 0.5, 1) | names("relu2", 0.5, 1, 2)
    while missing(made, store):
        finish(made, store, curve)
    tried = walked(made, results(store))
    assert set(tried["gelu"]) == set(tried["relu2"]) == {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert known(made, store) == 20


def test_a_diverged_seed_makes_its_rate_the_worst_and_the_walk_goes_down(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    made, store = trials_of(lab(**TINY)), tmp_path / "store"
    finish(made, store, lambda arm, x: NAN if x >= 0 else 2 + x)
    assert {arm for arm, _ in cells(made, store)} == names("gelu", 0.25) | names("relu2", 0.25)


def test_a_baseline_that_many_arms_lean_on_is_bracketed_with_as_many_seeds_as_the_test(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    made = trials_of(lab(**{**TINY, "arms": THREE}))
    first = cells(made, tmp_path / "store")
    assert {seed for arm, seed in first if arm.startswith("gelu/")} == set(range(1000, 1005))
    assert {seed for arm, seed in first if not arm.startswith("gelu/")} == {1000, 1001}


def test_what_a_rate_costs_is_what_its_arm_costs(lab: Callable[..., Lab]) -> None:
    made = lab(**{**TINY, "arms": {"gelu": {}, "wide": {"model": {"hidden": 48}}}})
    costs = outline(load(made.study)).costs
    trials = trials_before(outline(load(made.study)))
    assert trials is not None
    for name, cost in trials.costs.items():
        assert cost == costs[name.partition("/")[0]]
    assert {arm.run.optim.lr for arm in trials.study.arms} == {float(f"{0.02 * 2**x:.6g}") for x in RATES}


# -- the declaration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bracket", "seeds", "expected"),
    [
        ({}, 5, (1000, 1001)),
        ({}, 12, (1000, 1001, 1002, 1003)),
        ({"seeds": 3}, 5, (1000, 1001, 1002)),
        ({"seeds": [70, 80]}, 5, (70, 80)),
    ],
)
def test_a_third_of_the_tests_seeds_or_what_is_asked_for(
    lab: Callable[..., Lab], bracket: dict[str, Any], seeds: int, expected: tuple[int, ...]
) -> None:
    made = bracket_of(load(lab(**{**TINY, "bracket": bracket, "seeds": seeds}).study))
    assert made is not None
    assert (made.seeds, made.each) == (expected, len(expected))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bracket": {"seeds": [1, 80]}}, "bracket.seeds: 1: also a seed of the test"),
        ({"bracket": {"seeds": [80, 80]}}, "expected different seeds"),
        ({"bracket": {"seeds": 1}}, "bracket.seeds"),
        ({"bracket": {"seeds": [80]}}, "at least 2 are needed: one cannot tell a rate from luck"),
        ({"bracket": {"setting": "optim.lrr"}}, "did you mean 'optim.lr'?"),
        ({"bracket": {"octaves": 3}}, "octaves"),
        ({"arms": {"gelu": {}, "fast": {"optim": {"lr": 0.1}}}}, "'fast' and 'gelu' differ in nothing but optim.lr"),
    ],
)
def test_what_cannot_be_bracketed_is_refused_with_its_line(
    lab: Callable[..., Lab], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as told:
        load(lab(**{**TINY, **changes}).study)
    assert words in str(told.value)
    assert "tiny.yaml:" in str(told.value)


def test_the_digest_holds_setting_and_seeds_and_is_the_same_before_and_after(lab: Callable[..., Lab]) -> None:
    study = load(lab(**TINY).study)
    assert study.preregistration()["bracket"] == {"setting": "optim.lr", "seeds": [1000, 1001], "each": 2}
    plain = load(lab(**{key: value for key, value in TINY.items() if key != "bracket"}).study)
    assert study.preregistration() == {**plain.preregistration(), "bracket": study.preregistration()["bracket"]}


def test_other_nodes_or_an_unfinished_bracket_cannot_be_planned(lab: Callable[..., Lab]) -> None:
    with pytest.raises(ConfigError, match="its runs are known once the bracket is"):
        plan(outline(load(lab(**TINY).study)))


def test_too_few_seeds_for_arms_that_are_tested_one_by_one_are_refused(lab: Callable[..., Lab]) -> None:
    study = load(lab(**{**TINY, "arms": THREE, "seeds": 4}).study)  # a pilot, as few seeds make it here
    decisive = replace(study, criterion=study.criterion.model_copy(update={"pilot": False}))
    with pytest.raises(ConfigError, match="4 seeds are too few, so these runs could decide nothing; write seeds: 5"):
        refuse_undecidable(decisive)
