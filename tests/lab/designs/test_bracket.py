"""A bracket: which rates are trained when, from results on disk; and a real study, from its file to its report."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.bracket import RATES, bracket_of, results, trial_name, walked, walkers
from coregpt.lab.execute.tasks import known, missing
from coregpt.lab.planning.load import load
from coregpt.lab.planning.pilot import refuse_undecidable
from coregpt.lab.planning.plans import outline, plan, trials_before
from coregpt.lab.planning.preregister import announce, register
from coregpt.lab.records.ledger import Entry, Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.execute.test_launcher import launched, untimed, wait_for_training, wait_until_free

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


# -- the whole way ---------------------------------------------------------------------------------------------


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
    kinds = [(e.event, e.get("study")) for e in entries(bracketed)]
    assert kinds[0] == ("declared", "tiny")
    assert entries(bracketed)[0]["digest"] == digest
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
