"""Arms that are not finished: what is executed up to the pause and after it, and a real study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.designs import abort
from coregpt.lab.designs.design import Task
from coregpt.lab.execute.tasks import missing, wave
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.designs.test_looks import ARMS, TEST
from tests.lab.execute.test_launcher import launched, untimed, wait_for_training, wait_until_free

BASE = {**STUDY["base"], "tokens": 64 * 40, "evals": 10}
ABORT: dict[str, Any] = {"base": BASE, "arms": ARMS, "seeds": 5, "test": {**TEST, "abort": 0.9}}
STEP = 36


def planned(made: Lab) -> Plan:
    return plan(outline(load(made.study)))


def reach(made: Plan, store: Path, arm: str, losses: list[float], final: list[float] | None = None) -> None:
    """Runs of an arm paused with these losses, or complete."""
    for i, run in enumerate(run for run in made.runs if run.arm == arm):
        folder = RunFolder(store / run.id)
        folder.create(run.record, {})
        folder.write_rows([{"step": 0, "select_loss": 9.0}, {"step": STEP, "select_loss": losses[i]}])
        if final:
            folder.write_result({"status": "finished", "value": 9.9, "select": final[i], "reason": ""})
        else:
            folder.checkpoint.touch()
            folder.write_paused(STEP)


def ends(tasks: list[Task]) -> dict[str, set[int | None]]:
    found: dict[str, set[int | None]] = {}
    for task in tasks:
        found.setdefault(task.run.arm, set()).add(task.until)
    return found


def test_the_baseline_goes_to_its_end_and_the_others_to_the_pause(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made, store = planned(lab(**ABORT)), tmp_path / "store"
    assert abort.pause_step(made) == STEP
    assert ends(missing(made, store)) == {"gelu": {None}, "slow": {STEP}, "relu2": {STEP}}
    at, drop = [3.0, 3.1, 3.2, 3.3, 3.4], [0.5, 0.501, 0.499, 0.5, 0.502]
    reach(made, store, "slow", [loss + 1 for loss in at])
    reach(made, store, "relu2", [loss + sign * 0.05 for loss, sign in zip(at, (1, -1, 0, -1, 1), strict=True)])
    assert abort.chances(made, store) == {}
    assert ends(missing(made, store)) == {"gelu": {None}}
    reach(made, store, "gelu", at, [loss - fall for loss, fall in zip(at, drop, strict=True)])
    chances = abort.chances(made, store)
    assert chances["slow"] > 0.99
    assert chances["relu2"] < 0.001
    assert ends(missing(made, store)) == {"slow": {None}}
    assert ends(wave(made, store)) == {"gelu": {None}, "slow": {None}}


def test_a_run_that_never_paused_holds_up_only_its_arm(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made, store = planned(lab(**ABORT)), tmp_path / "store"
    at = [3.0, 3.1, 3.2, 3.3, 3.4]
    reach(made, store, "gelu", at, [loss - 0.5 for loss in at])
    reach(made, store, "slow", [loss + 1 for loss in at])
    assert ends(missing(made, store)) == {"slow": {None}, "relu2": {STEP}}


def test_a_complete_run_without_the_loss_at_the_pause_is_trained_again(lab: Callable[..., Lab], tmp_path: Path) -> None:
    """Another study had it trained and looked at it at other steps; its identity does not say how often."""
    made, store = planned(lab(**ABORT)), tmp_path / "store"
    first = made.runs[0]
    folder = RunFolder(store / first.id)
    folder.create(first.record, {})
    folder.write_rows([{"step": 0, "select_loss": 9.0}, {"step": 20, "select_loss": 4.0}, {"step": 40, "loss": 3.0}])
    folder.write_result({"status": "finished", "value": 3.0, "select": 3.0, "reason": ""})
    assert [task.run.id for task in missing(made, store) if task.run.seed == first.seed and task.until is None] == [
        first.id
    ]
    folder.write_rows([{"step": STEP, "select_loss": 3.2}, {"step": 40, "loss": 3.0}])
    assert first.id not in [task.run.id for task in missing(made, store)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": {**BASE, "evals": 1}}, "there is no evaluation between start and end to pause at"),
        (
            {"arms": {"gelu": {}, "long": {"tokens": 64 * 80}}, "equal": "seconds"},
            "all arms must have the same number of steps to be compared half-way: 40 in 'gelu', 80 in 'long'",
        ),
        (
            {"arms": {"gelu": {}, "other": {"evals": 5, "optim": {"lr": 0.1}}}},
            "all arms must have the same number of evaluations",
        ),
    ],
)
def test_arms_that_cannot_be_compared_at_a_pause_are_refused(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    here = lab(**{**ABORT, **changes})
    assert main(here.command("--no-mlflow")) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "tiny.yaml:" in error
    assert "test.abort" in error
    assert not here.runs.exists()


@pytest.fixture(scope="module")
def aborted(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    folder = tmp_path_factory.mktemp("aborted")
    made = Lab(folder, shards, write_study(folder / "abort.yaml", shards, **{**ABORT, "seeds": [5, 6, 7, 8, 9]}))
    assert main(made.command("--no-mlflow")) == 0
    return made


def test_a_real_study_leaves_the_arm_without_prospects_unfinished(aborted: Lab) -> None:
    report = aborted.report()
    worse, left = report["comparisons"]
    assert worse["verdict"] == "worse"
    assert left["verdict"] == "inconclusive"
    assert left["cause"].startswith("aborted at step 36 of 40: a significant difference was unlikely (P = 0.0")
    statuses = {run["arm"]: run["status"] for run in report["runs"]}
    assert statuses == {"gelu": "finished", "slow": "finished", "relu2": "aborted"}
    assert report["pause"]["saved"] == pytest.approx(5 * 4 / (15 * 40))
    assert all(run["curve"][-1][0] == STEP for run in report["runs"] if run["arm"] == "relu2")
    assert "Arms left unfinished" in (aborted.reports / "abort" / "report.md").read_text()
    noted = {e["arm"]: e["decision"] for e in Ledger.of(aborted.runs).read() if e.event == "looked"}
    assert noted == {"slow": "continue", "relu2": "aborted"}


@pytest.mark.slow
def test_again_and_after_a_kill_it_is_the_same_report(
    aborted: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = aborted.report()
    assert main(aborted.command("--no-mlflow")) == 0
    assert "nothing to train" in capsys.readouterr().out
    assert aborted.report() == before
    here = aborted.with_runs_in(tmp_path)
    with launched(here) as process:
        wait_for_training(here)
        process.kill()
    wait_until_free(here)
    assert main(here.command("--no-mlflow")) == 0
    assert untimed(here) == untimed(aborted)
    assert main(["gc", "--yes", "--runs", str(here.runs)]) == 0
    assert not list(here.runs.glob("*/checkpoint.pt"))
    assert main(here.command("--no-mlflow")) == 0
    assert "nothing to train" in capsys.readouterr().out.rpartition("deleted")[2]
    assert untimed(here) == untimed(aborted)


def test_the_plan_says_where_arms_pause(aborted: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(aborted.study), "--runs", str(aborted.runs)]) == 0
    shown = capsys.readouterr().out
    assert "All arms but gelu pause at step 36 of 40" in shown
    assert "At most 7% of all steps are saved" in shown
