"""Studies whose arms share a trunk: the same numbers as without it, from fewer steps; and every way it can go wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.engine.weights import read
from coregpt.lab.execute.tasks import left, missing
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab, write_study

STEPS, STEP = 60, 42
FORK: dict[str, Any] = {
    "base": {**STUDY["base"], "tokens": 64 * STEPS, "plugins": {"wsd": {"cooldown": 0.3}}},
    "arms": {
        "cooldown": {},
        "constant": {"plugins": {"wsd": {"cooldown": 0}}, "inert": True},
        "averaged": {"plugins": {"ema": {"start": STEP + 1, "horizon": 10}}},
    },
    "seeds": 2,
    "test": {"baseline": "cooldown", "margin": 0.02},
}
BRANCHING = {"mode": "fork", "fork_at": 0.7}


def planned(made: Lab) -> Plan:
    return plan(outline(load(made.study)))


def values(report: dict[str, Any]) -> dict[tuple[str, int], float]:
    return {(run["arm"], run["seed"]): run["value"] for run in report["runs"]}


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """The study executed once, mirrored too, for all tests that only read it."""
    folder = tmp_path_factory.mktemp("forked")
    made = Lab(folder, shards, write_study(folder / "fork.yaml", shards, **FORK, **BRANCHING))
    assert main(made.command()) == 0
    return made


def test_every_arm_that_acts_after_the_fork_ends_at_the_number_of_a_separate_run(
    forked: Lab, lab: Callable[..., Lab]
) -> None:
    separate = lab(**FORK)
    assert main(separate.command("--no-mlflow")) == 0
    assert values(forked.report()) == values(separate.report())
    curves = [{(r["arm"], r["seed"]): r["curve"] for r in made.report()["runs"]} for made in (forked, separate)]
    assert curves[0] == curves[1]
    whole, branches = ({run.id for run in planned(made).runs} for made in (separate, forked))
    assert not whole & branches


def test_the_trunk_is_trained_once_per_seed_and_no_branch_trains_its_steps(forked: Lab) -> None:
    made = planned(forked)
    assert [(run.arm, run.seed) for run in made.trunks] == [("(trunk)", 0), ("(trunk)", 1)]
    for trunk in made.trunks:
        folder = RunFolder(forked.runs / trunk.id)
        assert (folder.paused(), folder.result()) == (STEP, None)
        assert max(row["step"] for row in folder.rows()) == STEP
    for run in made.runs:
        log = RunFolder(forked.runs / run.id).rows()
        assert sorted({row["step"] for row in log}) == list(range(STEPS + 1))
    assert missing(made, forked.runs) == [] == left(made, forked.runs)


def test_a_target_declared_later_has_trunks_and_then_branches_repeated(forked: Lab, tmp_path: Path) -> None:
    """Neither was read on `held_out` along its way; both come to what they were."""
    shutil.copytree(forked.runs, tmp_path / "runs")
    aims = {**FORK, "test": {**FORK["test"], "target": 1.0}, **BRANCHING}
    made = Lab(tmp_path, forked.data, write_study(tmp_path / "aims.yaml", forked.data, **aims))
    assert main(made.command("--no-mlflow")) == 0
    assert values(made.report()) == values(forked.report())
    assert [point[0] for point in made.report()["runs"][0]["curve"]] == [0, 12, 24, 36, 48, STEPS]
    assert missing(planned(made), made.runs) == []


def test_branches_leave_their_final_weights_and_trunks_none(forked: Lab) -> None:
    made = planned(forked)
    assert all(RunFolder(forked.runs / run.id).weights.exists() for run in made.runs)
    assert not any(RunFolder(forked.runs / trunk.id).weights.exists() for trunk in made.trunks)
    found = [read(RunFolder(forked.runs / run.id).weights).record for run in made.runs]
    assert [record["branch"]["step"] for record in found] == [made.trunk_step] * len(found)


def test_the_report_counts_the_trunk_once_and_names_it(forked: Lab) -> None:
    report, made = forked.report(), planned(forked)
    assert report["study"]["fork"]["step"] == STEP
    assert [trunk["run_id"] for trunk in report["study"]["fork"]["trunks"]] == [run.id for run in made.trunks]
    assert len({trunk["state"] for trunk in report["study"]["fork"]["trunks"]}) == 2
    steps = 2 * (STEP + 3 * (STEPS - STEP))
    assert (report["fork"]["tokens"], report["fork"]["whole_tokens"]) == (64 * steps, 64 * 2 * 3 * STEPS)
    assert report["fork"]["flops"] == pytest.approx(made.flops)
    page = (forked.reports / "fork" / "report.md").read_text()
    assert f"Every arm is cooldown until step {STEP}" in page
    assert f"{steps / (6 * STEPS):.0%} of the tokens" in page
    assert report["study"]["declaration"]["fork_at"] == 0.7


def test_executing_again_trains_nothing_even_without_the_trunks(
    forked: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    made = planned(forked)
    before = (forked.reports / "fork" / "report.json").read_bytes()
    for trunk in made.trunks:
        RunFolder(forked.runs / trunk.id).checkpoint.rename(forked.runs / f"{trunk.id}.kept")
    assert main(forked.command("--no-mlflow")) == 0
    assert "nothing to train" in capsys.readouterr().out
    assert (forked.reports / "fork" / "report.json").read_bytes() == before
    for trunk in made.trunks:
        (forked.runs / f"{trunk.id}.kept").rename(RunFolder(forked.runs / trunk.id).checkpoint)


def copied(made: Lab, folder: Path) -> Lab:
    """The same study with a store of its own."""
    shutil.copytree(made.runs, folder / "runs")
    return Lab(folder, made.data, made.study)


def drop(folder: RunFolder) -> None:
    """Make a complete run one that never began."""
    for name in ("result.json", "metrics.jsonl", "branch.json"):
        (folder.path / name).unlink()


def test_a_trunk_that_is_gone_is_trained_again_to_the_same_bits(forked: Lab, tmp_path: Path) -> None:
    made = copied(forked, tmp_path)
    trunk = RunFolder(made.runs / planned(made).trunks[0].id)
    trunk.checkpoint.unlink()
    drop(RunFolder(made.runs / planned(made).runs[0].id))
    assert [task.run.arm for task in missing(planned(made), made.runs)] == ["(trunk)"]
    assert main(made.command("--no-mlflow")) == 0
    assert values(made.report()) == values(forked.report())
    assert made.report()["study"]["fork"] == forked.report()["study"]["fork"]


def test_a_trunk_that_was_changed_is_refused_then_trained_again(
    forked: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = copied(forked, tmp_path)
    trunk = RunFolder(made.runs / planned(made).trunks[0].id)
    state = torch.load(trunk.checkpoint, weights_only=True)
    next(iter(state["params"].values())).view(-1)[0] += 1e-3
    torch.save(state, trunk.checkpoint)
    drop(RunFolder(made.runs / planned(made).runs[0].id))
    assert main(made.command("--no-mlflow")) == 1
    assert "was damaged or changed, and has been removed" in capsys.readouterr().out
    assert main(made.command("--no-mlflow")) == 0
    assert values(made.report()) == values(forked.report())


def test_a_branch_of_another_trunk_state_is_no_pair(forked: Lab, tmp_path: Path) -> None:
    made = copied(forked, tmp_path)
    path = made.runs / planned(made).runs[-1].id / "branch.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "0" * 64}))
    main(made.command("--no-mlflow"))
    run = made.report()["runs"][-1]
    assert run["status"] == "failed"
    assert "another state of the trunk" in run["reason"]


def test_a_trunk_that_diverges_takes_every_branch_with_it(lab: Callable[..., Lab]) -> None:
    base = {**FORK["base"], "optim": {"lr": 1e30, "grad_clip": 0}}
    made = lab(**{**FORK, "base": base}, **BRANCHING)
    assert main(made.command("--no-mlflow")) == 0
    runs = made.report()["runs"]
    assert {run["status"] for run in runs} == {"diverged"}
    assert all(run["reason"].endswith("before the fork") for run in runs)


def test_an_arm_that_changes_nothing_after_the_fork_is_told(lab: Callable[..., Lab]) -> None:
    arms = {"cooldown": {}, "warmed": {"plugins": {"wsd": {"warmup": 0.1}}}}
    made = lab(**{**FORK, "arms": arms}, **BRANCHING)
    assert main(made.command("--no-mlflow")) == 0
    assert made.report()["fork"]["unchanged"] == ["warmed"]
    assert any(note.startswith("warmed ended at exactly the baseline's number") for note in made.report()["notes"])


def test_verify_trains_fresh_trunks(forked: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = forked.reports / "fork" / "report.json"
    code = main(["verify", str(report), "--seeds", "2", "--runs", str(tmp_path / "runs")])
    assert code in (0, 1)  # with two seeds an answer either way; that there is one is the point
    assert "Engine, plugins, data and environment are those of the report." in capsys.readouterr().out
    folders = [path.parent for path in (tmp_path / "runs").glob("*/trunk.json")]
    assert sorted(RunFolder(path).config()["config"]["seed"] for path in folders) == [2, 3]


def test_the_plan_says_what_a_fork_saves(forked: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(forked.study), "--runs", str(tmp_path / "runs")]) == 0
    out = capsys.readouterr().out
    assert "one trunk per seed, 2 in all, is trained as cooldown to step 42 of 60" in out
    assert "That is 53% of" in out  # (0.7 + 3 x 0.3) / 3
    assert "for 8 runs" in out


@pytest.mark.parametrize("fork_at", [0.7, STEP])
def test_a_share_and_a_step_are_the_same_fork(lab: Callable[..., Lab], fork_at: float) -> None:
    assert planned(lab(**FORK, mode="fork", fork_at=fork_at)).trunk_step == STEP


@pytest.mark.parametrize(
    ("arm", "why"),
    [
        ({"plugins": {"muon": {}}}, "it changes optimizer state"),
        ({"plugins": {"swiglu": {}}}, "it changes parameter"),
        ({"plugins": {"zero_init": {}}}, "it changes the initial value of"),
        ({"model": {"depth": 2}}, "its model has another shape"),
        ({"batch_tokens": 32}, "its batch differs"),
    ],
)
def test_an_arm_that_differs_before_the_fork_is_refused(lab: Callable[..., Lab], arm: Any, why: str) -> None:
    made = lab(**{**FORK, "arms": {"cooldown": {}, "other": arm}}, **BRANCHING)
    with pytest.raises(ConfigError, match=rf"tiny.yaml:\d+: arms.other: cannot branch at step {STEP}: {why}"):
        outline(load(made.study))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "fork"}, r"mode: 'fork' needs 'fork_at: 0.7'"),
        ({"fork_at": 0.5}, r"fork_at: needs 'mode: fork'"),
        ({"mode": "fork", "fork_at": 0}, r"fork_at: should be greater than 0, got 0"),
        ({"mode": "fork", "fork_at": 1.5}, r"fork_at: from 1 on this is a number of steps and must be whole"),
        ({"mode": "fork", "fork_at": 1.0}, r"fork_at: 1.0 is the whole run as a share and the first step as a number"),
        ({"mode": "fork", "fork_at": 60}, r"fork_at: is step 60 of a run of 60; it must lie inside the run"),
        ({"mode": "fork", "fork_at": 0.001}, r"fork_at: is step 0 of a run of 60"),
        ({**BRANCHING, "test": {**FORK["test"], "looks": 3}}, r"test.looks: a fork's runs begin in the middle"),
        ({**BRANCHING, "techniques": {"rope": {}}}, r"techniques: 'mode: fork' compares listed 'arms'"),
        ({**BRANCHING, "arms": {"a": {}, "b": {}}, "test": {"baseline": "a"}}, r"arms.b: is the same as 'a'"),
        ({**BRANCHING, "arms": {"a": {}}, "test": {"baseline": "a"}}, r"arms: at least two arms are needed"),
    ],
)
def test_mistakes_name_line_and_key(lab: Callable[..., Lab], changes: dict[str, Any], message: str) -> None:
    made = lab(**{**FORK, **changes})
    with pytest.raises(ConfigError, match=r"tiny.yaml:\d+: " + message):
        outline(load(made.study))
    assert main(["plan", str(made.study)]) == 2
