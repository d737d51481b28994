"""Tuned studies: equal trials for every arm, fresh seeds for the test, and every way to declare one wrongly."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.found import FIRST_SEED, freeze, frozen
from coregpt.lab.designs.tuning import trial_study
from coregpt.lab.execute.launcher import Launcher
from coregpt.lab.planning.load import MANY_SEEDS, load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import announce, register
from coregpt.lab.records.ledger import Entry, Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab, write_study

TUNING: dict[str, Any] = {
    "trials": 3,
    "seeds": 1,
    "space": {"all": {"optim.lr": {"low": 0.0005, "high": 0.05, "log": True}}},
}
TINY: dict[str, Any] = {"base": {**STUDY["base"], "tokens": 64 * 40}, "seeds": 2, "tuning": TUNING}


def tuning(**changes: Any) -> dict[str, Any]:
    return {"tuning": {**TUNING, **changes}}


def trials_of(made: Lab) -> Plan:
    return plan(outline(trial_study(load(made.study))))


def entries(made: Lab) -> list[Entry]:
    return Ledger.of(made.runs).read()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """A study tuned and tested once, for all tests that only read it."""
    folder = tmp_path_factory.mktemp("tuned")
    made = Lab(folder, shards, write_study(folder / "tiny.yaml", shards, **TINY))
    assert main(made.command("--no-mlflow")) == 0
    return made


# -- the whole way ---------------------------------------------------------------------------------------------


def test_the_test_runs_with_the_best_trial_of_each_arm_on_seeds_that_did_not_choose_it(tuned: Lab) -> None:
    """Chosen again here from the run folders alone."""
    report = tuned.report()
    for arm in ("gelu", "relu2"):
        runs = [run for run in trials_of(tuned).runs if run.arm.startswith(f"{arm}/")]
        results = {run.config.optim.lr: RunFolder(tuned.runs / run.id).result() or {} for run in runs}
        best = min(results, key=lambda lr: results[lr]["value"])
        tests = [run for run in report["runs"] if run["arm"] == arm]
        configs = [json.loads((tuned.runs / run["run_id"] / "config.json").read_text())["config"] for run in tests]
        assert [config["optim"]["lr"] for config in configs] == [best, best]
        assert {config["seed"] for config in configs} == {0, 1}
        assert not {run.seed for run in runs} & {0, 1}
    assert report["tuning"]["seeds"] == [FIRST_SEED]


def test_every_arm_has_the_same_number_of_trials_and_the_first_is_as_written(tuned: Lab) -> None:
    arms = tuned.report()["tuning"]["arms"]
    assert [len(each["trials"]) for each in arms] == [3, 3]
    assert [each["trials"][0]["settings"] for each in arms] == [{"optim.lr": 0.002}] * 2
    assert all(len({str(t["settings"]) for t in each["trials"]}) == 3 for each in arms)
    assert [each["started"] for each in arms] == [3, 3]
    assert all(each["flops"] > 0 for each in arms)
    assert set(tuned.report()["timing"]["tuning"]) == {"gelu", "relu2"}


def test_the_digest_is_that_of_the_declaration_and_stands_before_the_first_trial(tuned: Lab) -> None:
    digest = load(tuned.study).digest
    assert tuned.report()["study"]["digest"] == digest
    assert "tuning" in tuned.report()["study"]["declaration"]
    told = [e for e in entries(tuned) if e.event != "chained"]
    kinds = [(e.event, e.get("study")) for e in told]
    assert kinds[0] == ("declared", "tiny")
    assert told[0]["digest"] == digest
    assert kinds.index(("declared", "tiny-tuning")) < kinds.index(("started", "tiny-tuning"))
    assert kinds.index(("frozen", "tiny")) < kinds.index(("started", "tiny"))
    assert not tuned.report()["study"]["exploratory"]


def test_a_second_call_trains_nothing_and_writes_the_same_report(tuned: Lab) -> None:
    before, length = tuned.report(), len(entries(tuned))
    assert main(tuned.command("--no-mlflow")) == 0
    assert tuned.report() == before
    assert len(entries(tuned)) == length


def test_the_pages_show_trials_charts_and_what_was_spent(tuned: Lab) -> None:
    folder = tuned.reports / "tiny"
    for page in ("report.md", "report.html"):
        text = (folder / page).read_text()
        assert "How the settings were found" in text
        assert "Trials of relu2" in text
        assert "Expected lowest mean select_loss of k trials" in text
    html = (folder / "report.html").read_text()
    assert "Mean select_loss of each trial by optim.lr" in html


def test_a_plan_shows_trials_and_their_cost_before_anything_is_spent(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    made = lab(**TINY)
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    out = capsys.readouterr().out
    assert "3 trials x 2 arms x 1 seed = 6 runs" in out
    assert "with the settings as written" in out
    assert "for 6 runs" in out
    assert "for 4 runs" in out
    assert not made.runs.exists()


def test_a_report_is_verified_with_the_settings_it_found_and_nothing_is_tuned_again(tuned: Lab, tmp_path: Path) -> None:
    source, runs = tuned.reports / "tiny" / "report.json", tmp_path / "runs"
    assert main(["verify", str(source), "--seeds", "2", "--runs", str(runs)]) in (0, 1)
    chosen = {
        arm["arm"]: arm["trials"][arm["chosen"] - 1]["settings"]["optim.lr"] for arm in tuned.report()["tuning"]["arms"]
    }
    ledger = Ledger.of(runs).read()
    assert not any("trial" in str(entry.get("arm")) for entry in ledger)
    for entry in ledger:
        if entry.event == "started":
            config = json.loads((runs / entry["run"] / "config.json").read_text())["config"]
            assert config["optim"]["lr"] == chosen[entry["arm"]]
            assert config["seed"] not in (0, 1, FIRST_SEED)


# -- stopped, edited, cheated ----------------------------------------------------------------------------------


def test_a_study_stopped_while_it_tunes_goes_on_to_the_same_report(
    lab: Callable[..., Lab], tuned: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher ends half-way through the trials, as after a signal; then the same command is given again."""
    made, kept, finish = lab(**TINY), list[str](), Launcher.finish

    def stop_after_two(self: Launcher, job: Any, result: dict[str, Any]) -> None:
        finish(self, job, result)
        kept.append(job.run.id)
        if len(kept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Launcher, "finish", stop_after_two)
    assert main(made.command("--no-mlflow", "--jobs", "1")) == 130
    monkeypatch.undo()
    assert not any(entry.event == "frozen" for entry in entries(made))
    assert main(made.command("--no-mlflow")) == 0
    mine, other = made.report(), tuned.report()
    assert mine["tuning"] == other["tuning"]
    assert [run["value"] for run in mine["runs"]] == [run["value"] for run in other["runs"]]
    assert mine["study"]["digest"] == other["study"]["digest"]


@pytest.fixture
def copied(tuned: Lab, tmp_path: Path) -> Lab:
    """The executed study in a folder of its own, to be harmed."""
    shutil.copytree(tuned.runs, tmp_path / "runs")
    return Lab(tmp_path, tuned.data, write_study(tmp_path / "tiny.yaml", tuned.data, **TINY))


def test_a_trial_whose_result_was_edited_chooses_nothing(copied: Lab) -> None:
    path = copied.runs / trials_of(copied).runs[1].id / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "value": 0.1}))
    assert main(copied.command("--no-mlflow")) == 1
    assert not (copied.reports / "tiny" / "report.json").exists()


def test_settings_that_change_after_a_test_run_started_make_the_study_exploratory(copied: Lab) -> None:
    study = load(copied.study)
    other = {"gelu": {"optim.lr": 0.01}, "relu2": {"optim.lr": 0.02}}
    freeze(study, other, copied.runs)
    reason = register(plan(outline(frozen(study, other))), copied.runs)
    assert "tuned again after 4 runs had started" in reason
    assert "gelu.optim.lr" in reason


def test_a_seed_that_chose_settings_cannot_become_a_seed_of_the_test(copied: Lab) -> None:
    """Within a declaration it is refused (below); over two it is told; seeds that are counted off never meet."""
    write_study(copied.study, copied.data, **{**TINY, **tuning(seeds=[8]), "seeds": [0, FIRST_SEED]})
    study = load(copied.study)
    announce(study, trials_of(copied), copied.runs)
    reason = register(plan(outline(frozen(study, {}))), copied.runs)
    assert f"settings were chosen by seeds of the test: {FIRST_SEED}" in reason
    assert FIRST_SEED >= MANY_SEEDS


def test_results_that_were_there_before_the_declaration_are_told(copied: Lab) -> None:
    """As if the settings had been known to be good from the same seeds, in another study, before this one."""
    runs, other = copied.runs, load(write_study(copied.folder / "later.yaml", copied.data, **TINY))
    found = next(entry["settings"] for entry in entries(copied) if entry.event == "frozen")
    announce(other, trials_of(copied), runs)
    reason = register(plan(outline(frozen(other, found))), runs)
    assert "declared when 4 runs of it, of the baseline and of other arms, were complete" in reason


def test_an_undecided_study_cannot_be_run_as_written(lab: Callable[..., Lab]) -> None:
    with pytest.raises(ConfigError, match="its runs are known once its trials are"):
        plan(outline(load(lab(**TINY).study)))


# -- declared wrongly ------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"trials": 1}, "trials: should be greater than or equal to 2, got 1"),
    ({"seeds": [1, 5]}, "1: also a seed of the test"),
    ({"seeds": [5, 5]}, "expected different seeds"),
    ({"space": {"gelu": TUNING["space"]["all"]}}, "there is none for 'relu2'"),
    ({"space": {**TUNING["space"], "relu3": {}}}, "'relu3' is not an arm; did you mean 'relu2'?"),
    ({"space": {"all": {"optim.lrr": [1, 2]}}}, "no such setting; did you mean 'optim.lr'?"),
    ({"space": {"all": {"optim.lr": {"low": 0.1, "high": 0.1}}}}, "low must be below high"),
    ({"space": {"all": {"optim.lr": {"low": 0, "high": 0.1, "log": True}}}}, "low must be above 0"),
    ({"space": {"all": {"optim.lr": {"low": -1, "high": 0.1}}}}, "greater than 0"),
    ({"space": {"all": {"optim.lr": {"low": 0.1, "hihg": 0.2}}}}, "expected {low: 0.001"),
    ({"space": {"all": {"optim.lr": [0.1]}}}, "at least two different choices"),
    ({"space": {"all": {"optim.lr": [0.1, "0.2"]}}}, "expected a number, got '0.2'"),
    ({"space": {"all": {"optim.lr": [0.1, 0.2]}}}, "has only 2 different points"),
    ({"space": {"all": {"model.heads": [1, 2, 3]}}}, "heads must divide dim"),
    ({"space": {"all": {"tokens": [6400, 12800, 1280]}}}, "compared at the same"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message for _, message in WRONG])
def test_every_mistake_is_told_with_its_line_and_key(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    made = lab(**{**TINY, **tuning(**changes)})
    assert main(made.command()) == 2
    err = capsys.readouterr().err
    assert message in err
    assert f"{made.study}:" in err
    assert ": tuning" in err
    assert not made.runs.exists()


def test_an_option_is_checked_by_its_plugin(lab: Callable[..., Lab]) -> None:
    arms = {"gelu": {}, "rope": {"plugins": {"rope": {}}}}
    space = {**TUNING["space"], "rope": {"plugins.rope.base": [-1, 100, 1000]}}
    with pytest.raises(ConfigError, match=r"tuning\.space\.rope\.plugins\.rope\.base: .*greater than 1"):
        load(lab(**{**TINY, **tuning(space=space), "arms": arms, "test": {"baseline": "gelu"}}).study)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *(({"match": match}, "match") for match in ("tokens", "params", "flops", "seconds")),
        ({"test": {**STUDY["test"], "yardstick": 0.8}}, "test.yardstick"),
    ],
)
def test_designs_that_do_not_go_with_it_are_refused(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], key: dict[str, Any], name: str
) -> None:
    made = lab(**{**TINY, **key})
    assert main(made.command("--no-mlflow")) == 2
    line = next(i for i, text in enumerate(made.study.read_text().splitlines(), 1) if text.startswith("tuning"))
    assert f"{made.study}:{line}: tuning: cannot be combined with '{name}'; remove one" in capsys.readouterr().err
    assert not made.runs.exists()


def test_arms_that_differ_only_in_what_is_tuned_are_one_arm(lab: Callable[..., Lab]) -> None:
    arms = {"slow": {}, "fast": {"optim": {"lr": 0.01}}}
    with pytest.raises(ConfigError, match="'fast' and 'slow' differ in nothing but what is tuned"):
        load(lab(**{**TINY, "arms": arms, "test": {"baseline": "slow"}}).study)


def test_generated_arms_share_one_space(lab: Callable[..., Lab]) -> None:
    changes = {"mode": "add_one", "techniques": {"relu2": {}}, "arms": None, "test": {"margin": 0.02}}
    made = lab(**{**TINY, **changes})
    assert set(trials_of(made).costs) == {f"{arm}/trial-{i}" for arm in ("none", "only-relu2") for i in (1, 2, 3)}
    with pytest.raises(ConfigError, match="give one space for 'all'"):
        load(lab(**{**TINY, **changes, **tuning(space={"none": TUNING["space"]["all"]})}).study)
