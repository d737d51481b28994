"""Studies that decide arms early: what is executed when, from results on disk; and a real study, killed and gone on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.execute.decisions import decisions, note, noted
from coregpt.lab.execute.tasks import missing, wave
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.planning.redeclare import for_fresh_seeds
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.execute.test_launcher import launched, untimed, wait_for_training, wait_until_free

ARMS: dict[str, Any] = {
    "gelu": {},
    "slow": {"optim": {"lr": 1e-5}},
    "relu2": {"plugins": {"relu2": {}}},
}
TEST = {"baseline": "gelu", "margin": 0.02}
SHORT = {**STUDY["base"], "tokens": 64 * 40}


def planned(made: Lab) -> Plan:
    return plan(outline(load(made.study)))


def finish(made: Plan, store: Path, arm: str, values: Sequence[float | None]) -> None:
    """Results for the first seeds of an arm; None diverged."""
    for run, value in zip([run for run in made.runs if run.arm == arm], values, strict=False):
        folder = RunFolder(store / run.id)
        folder.create(run.record, {})
        folder.write_result(
            {"status": "diverged" if value is None else "finished", "value": value, "select": 0.0, "reason": "nan"}
        )


def cells(tasks: Any) -> set[tuple[str, int]]:
    return {(task.run.arm, task.run.seed) for task in tasks}


def block(arms: Sequence[str], seeds: Sequence[int]) -> set[tuple[str, int]]:
    return {(arm, seed) for arm in arms for seed in seeds}


EVEN = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]
WORSE = [3.0, 3.101, 3.199, 3.3, 3.402, 3.501]
LIKE = [2.01, 2.09, 2.21, 2.29, 2.41, 2.49]


def decided(made: Plan, store: Path) -> dict[str, tuple[int, str]]:
    return {arm: (each.pairs, each.name) for arm, each in decisions(made, store).items()}


def test_seeds_come_in_blocks_up_to_the_next_look_and_a_decided_arm_gets_no_more(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    made = planned(lab(arms=ARMS, seeds=6, test={**TEST, "looks": [4, 6]}))
    store = tmp_path / "store"
    assert cells(missing(made, store)) == block(ARMS, range(4))
    finish(made, store, "gelu", EVEN[:4])
    finish(made, store, "slow", WORSE[:4])
    assert cells(missing(made, store)) == block(["relu2"], range(4))
    finish(made, store, "relu2", LIKE[:4])
    assert decided(made, store) == {"slow": (4, "reject")}
    assert cells(missing(made, store)) == block(["gelu", "relu2"], [4, 5])
    assert cells(wave(made, store)) == block(["gelu", "relu2"], range(6)) | block(["slow"], range(4))
    finish(made, store, "gelu", EVEN)
    finish(made, store, "relu2", LIKE)
    assert missing(made, store) == []
    assert decided(made, store)["relu2"] == (6, "accept")


def test_a_run_that_never_comes_holds_up_only_its_arm(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = planned(lab(arms=ARMS, seeds=6, test={**TEST, "looks": [4, 6]}))
    store = tmp_path / "store"
    finish(made, store, "gelu", EVEN[:4])
    finish(made, store, "slow", WORSE[:3])
    finish(made, store, "relu2", LIKE[:4])
    assert cells(missing(made, store)) == block(["slow"], [3]) | block(["gelu", "relu2"], [4, 5])


def test_an_arm_with_a_diverged_run_goes_on_to_the_last_look(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = planned(lab(arms=ARMS, seeds=6, test={**TEST, "looks": [4, 6]}))
    store = tmp_path / "store"
    finish(made, store, "gelu", EVEN[:4])
    finish(made, store, "slow", [*WORSE[:3], None])
    finish(made, store, "relu2", [2.0 - 1, 2.1 - 1.001, 2.2 - 0.999, 2.3 - 1])
    assert cells(missing(made, store)) == block(["gelu", "slow"], [4, 5])


def test_an_e_value_is_looked_at_after_every_seed(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = planned(lab(arms={"gelu": {}, "slow": ARMS["slow"]}, seeds=6, test={**TEST, "anytime": True}))
    store = tmp_path / "store"
    assert cells(missing(made, store)) == block(["gelu", "slow"], range(3))
    for n in (3, 4):
        finish(made, store, "gelu", EVEN[:n])
        finish(made, store, "slow", WORSE[:n])
        assert cells(missing(made, store)) == block(["gelu", "slow"], [n])
    finish(made, store, "gelu", EVEN[:5])
    finish(made, store, "slow", WORSE[:5])
    assert missing(made, store) == []
    assert decided(made, store) == {"slow": (5, "reject")}


def test_a_decision_is_entered_once(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = planned(lab(arms=ARMS, seeds=6, test={**TEST, "looks": [4, 6]}))
    store = tmp_path / "store"
    register(made, store)
    assert note(made, store) == []
    finish(made, store, "gelu", EVEN[:4])
    finish(made, store, "slow", WORSE[:4])
    assert note(made, store) == ["slow: decided after 4 seeds: it differs from the baseline"]
    assert note(made, store) == []
    (entry,) = (entry for entry in Ledger.of(store).read() if entry.event == "looked")
    assert (entry["arm"], entry["pairs"], entry["decision"]) == ("slow", 4, "reject")
    assert noted(made, store) == [("slow", 4, "reject")]


def test_what_is_declared_is_hashed_and_other_digests_stay(lab: Callable[..., Lab]) -> None:
    plain = load(lab(seeds=6).study)
    assert not {"looks", "spending", "futility", "anytime", "abort"} & plain.preregistration()["test"].keys()
    study = load(lab(seeds=6, test={**TEST, "looks": [4, 6], "futility": 0.01}).study)
    assert study.preregistration()["test"] == plain.preregistration()["test"] | {"looks": [4, 6], "futility": 0.01}
    assert for_fresh_seeds(study).digest == plain.digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test": {"looks": [8, 4, 6]}}, "test.looks: numbers of seeds must rise, such as [4, 8, 12], got [8, 4, 6]"),
        ({"test": {"looks": [4, 5]}}, "test.looks: the last look must come after all 6 seeds, got [4, 5]"),
        ({"test": {"looks": [3, 6]}}, "test.looks: the first look needs at least 4 seeds, got 3"),
        ({"test": {"looks": 6}}, "test.looks: "),
        ({"test": {"looks": [4, 6], "anytime": True}}, "test.anytime: 'looks' and 'anytime' are two ways"),
        ({"test": {"looks": [4, 6], "abort": 0.7}}, "test.abort: 'looks' and 'abort' are two ways"),
        ({"test": {"spending": "pocock"}}, "test.spending: belongs to 'looks: [4, 8, 12]'"),
        ({"test": {"anytime": True, "futility": 0.01}}, "test.futility: belongs to 'looks: [4, 8, 12]'"),
        ({"test": {"looks": [4, 6], "spending": "even"}}, "test.spending: should be 'pocock' or 'obrien_fleming'"),
        ({"test": {"looks": [4, 6], "futility": 0}}, "test.futility: should be greater than 0"),
        ({"test": {"looks": [4, 6], "target": 2.5}}, "test.target: 'looks' ends arms early"),
        ({"test": {"anytime": 1}}, "test.anytime: expected true or false, got 1"),
        (
            {"test": {"anytime": True}, "seeds": 4},
            "test.anytime: 4 seeds can never decide anything at alpha 0.05; at least 5 can",
        ),
        ({"test": {"abort": 0.2}}, "test.abort: should be greater than or equal to 0.3, got 0.2"),
        ({"test": {"abort": 0.7}, "seeds": 4}, "test.abort: needs at least 5 seeds"),
        ({"test": {"margin": 0}}, "test.margin: should be greater than 0, got 0"),
    ],
)
def test_what_cannot_be_meant_is_one_message_with_its_line(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    test = {"baseline": "gelu", **changes["test"]}
    here = lab(arms={"gelu": {}, "slow": ARMS["slow"]}, seeds=changes.get("seeds", 6), test=test)
    here.study.write_text(here.study.read_text().replace("  pilot: true\n", ""))
    assert main(here.command("--no-mlflow")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "tiny.yaml:" in line
    assert not here.runs.exists()


def test_effects_and_trends_need_every_run(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    here = lab(mode="factorial", techniques={"relu2": {}, "rope": {}}, seeds=6, test={"looks": [4, 6]})
    here.study.write_text(
        here.study.read_text().replace("arms:\n  gelu: {}\n  relu2:\n    plugins:\n      relu2: {}\n", "")
    )
    assert main(here.command("--no-mlflow")) == 2
    assert "test.looks: 'mode: factorial' asks for effects" in capsys.readouterr().err
    sizes = {name: {"model": {"dim": dim}} for name, dim in (("s", 8), ("m", 16), ("l", 24))}
    assert main(lab(sizes=sizes, seeds=6, test={**TEST, "looks": [4, 6]}).command("--no-mlflow")) == 2
    assert "test.looks: a trend over sizes needs every run" in capsys.readouterr().err


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """A study with an arm that is obviously worse and one that is not, executed once."""
    folder = tmp_path_factory.mktemp("looked")
    test = {**TEST, "looks": [4, 6], "futility": 0.1}
    made = Lab(folder, shards, write_study(folder / "looks.yaml", shards, base=SHORT, arms=ARMS, seeds=6, test=test))
    assert main(made.command("--no-mlflow")) == 0
    return made


def test_a_real_study_stops_as_soon_as_it_may(looked: Lab) -> None:
    report = looked.report()
    assert [c["verdict"] for c in report["comparisons"]] == ["worse", "inconclusive"]
    worse, futile = report["comparisons"]
    assert "Stopped early, after 4 of 6 seeds: the estimate leans outward" in worse["sentence"]
    assert futile["cause"] == "stopped for futility: a gain of 0.1 or more is unlikely"
    assert (worse["pairs"], worse["look"]["n"], worse["more_seeds"]) == (4, 4, None)
    assert [run["status"] for run in report["runs"]] == (["finished"] * 4 + ["spared"] * 2) * 3
    assert (report["stopping"]["planned"], report["stopping"]["spared"]) == (18, 6)
    assert report["study"]["exploratory"] == ""
    assert not missing(planned(looked), looked.runs)
    assert len(list(looked.runs.glob("*/result.json"))) == 12


def test_executing_it_again_changes_nothing(looked: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    before, entries = looked.report(), len(Ledger.of(looked.runs).read())
    assert main(looked.command("--no-mlflow")) == 0
    assert "all 12 runs are complete; the other 6 are not needed; nothing to train" in capsys.readouterr().out
    assert looked.report() == before
    assert len(Ledger.of(looked.runs).read()) == entries


def test_killed_in_the_middle_it_comes_to_the_same_report(looked: Lab, tmp_path: Path) -> None:
    here = looked.with_runs_in(tmp_path)
    with launched(here) as process:
        wait_for_training(here)
        process.kill()
    wait_until_free(here)
    assert main(here.command("--no-mlflow")) == 0
    assert untimed(here) == untimed(looked)


def test_runs_beyond_the_stop_are_listed_and_not_counted(looked: Lab, tmp_path: Path) -> None:
    """A study of all seeds was there before."""
    whole = Lab(
        tmp_path, looked.data, write_study(tmp_path / "whole.yaml", looked.data, base=SHORT, arms=ARMS, seeds=6)
    )
    assert main(whole.command("--no-mlflow")) == 0
    here = Lab(tmp_path, looked.data, looked.study)
    assert main(here.command("--no-mlflow")) == 0
    report, before = here.report(), looked.report()
    assert len(report["stopping"]["uncounted"]) == 6
    assert report["stopping"]["spared"] == 0
    reasons = [run["reason"] for run in report["runs"] if run["seed"] > 3]
    assert reasons == ["not counted: decided after 4 seeds"] * 6
    for mine, theirs in zip(report["comparisons"], before["comparisons"], strict=True):
        assert {**mine, "sentence": ""} == {**theirs, "sentence": ""}
    assert "declared when 18 runs of it" in report["study"]["exploratory"]


def test_fresh_seeds_that_check_it_are_all_run(looked: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = looked.reports / "looks" / "report.json"
    assert main(["verify", str(source), "--seeds", "2", "--runs", str(tmp_path / "fresh")]) in (0, 1)
    shown = capsys.readouterr().out
    assert "\nslow stopped early, at an estimate that leans outward" in shown
    assert "slow: " in shown
    assert len(list((tmp_path / "fresh").glob("*/result.json"))) == 6


def test_the_plan_shows_boundaries_and_how_many_runs_to_expect(
    looked: Lab, capsys: pytest.CaptureFixture[str], lab: Callable[..., Lab]
) -> None:
    assert main(["plan", str(looked.study), "--runs", str(looked.runs)]) == 0
    shown = capsys.readouterr().out
    assert "each arm is judged after 4, 6 seeds, Pocock-type spending, alpha divided by 2 arms" in shown
    assert "decided if |t| >" in shown
    assert "no effect" in shown
    assert "runs of 18" in shown
    anytime = lab(seeds=6, test={**TEST, "anytime": True})
    assert main(["plan", str(anytime.study), "--runs", str(anytime.runs)]) == 0
    assert "An arm is decided once its e-value is 20." in capsys.readouterr().out
