"""Only what nothing needs is ever offered for deletion, and nothing is deleted unasked."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.cli.records.housekeeping import amount
from coregpt.lab.atomic import write_json
from coregpt.lab.execute.decisions import note
from coregpt.lab.execute.tasks import missing
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.records.claims import claim
from coregpt.lab.records.garbage import waste
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import latest, runs_of, status_of
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import Lab
from tests.lab.designs.test_abort import ABORT, reach
from tests.lab.designs.test_looks import TEST


@pytest.fixture
def store(executed: Lab, tmp_path: Path) -> Path:
    shutil.copytree(executed.runs, tmp_path / "runs")
    return tmp_path / "runs"


def stray(store: Path, id_: str) -> RunFolder:
    """A complete run of no declared study."""
    source = next(store.glob("*/config.json")).parent
    shutil.copytree(source, store / id_)
    return RunFolder(store / id_)


def offered(store: Path) -> set[str]:
    return {str(each.path.relative_to(store)) for each in waste(store)}


def test_nothing_of_a_declared_study_is_offered(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--yes", "--runs", str(store)]) == 0
    assert capsys.readouterr().out == "nothing to delete\n"


def test_strays_and_leftovers_are_listed_and_deleted_only_when_asked(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = sorted(path.parent.name for path in store.glob("*/config.json"))
    stray(store, "undeclared")
    (store / runs[0] / "checkpoint.pt").write_bytes(b"x" * 1500)
    for name in ("metrics.part", ".result.json.123.0123abcd"):
        (store / runs[1] / name).write_text("half")
    unfinished = RunFolder(store / runs[2])
    (unfinished.path / "result.json").unlink()
    unfinished.checkpoint.write_bytes(b"x")
    before = {path for path in store.rglob("*") if path.is_file()}
    expected = {
        "undeclared",
        f"{runs[0]}/checkpoint.pt",
        f"{runs[1]}/metrics.part",
        f"{runs[1]}/.result.json.123.0123abcd",
    }
    assert offered(store) == expected
    assert main(["gc", "--runs", str(store)]) == 0
    out = capsys.readouterr().out
    assert "1.5 kB" in out
    assert "nothing was" in out
    assert {path for path in store.rglob("*") if path.is_file()} == before
    assert main(["gc", "--yes", "--runs", str(store)]) == 0
    gone = before - {path for path in store.rglob("*") if path.is_file()}
    assert {path.relative_to(store).parts[0] for path in gone} == {"undeclared", runs[0], runs[1]}
    assert offered(store) == set()
    assert unfinished.checkpoint.exists()


def test_runs_that_execute_or_that_a_noise_record_names_stay(store: Path) -> None:
    held = claim(stray(store, "executing"))
    stray(store, "measured")
    (store / "noise").mkdir()
    write_json(store / "noise" / "x.json", {"run_ids": ["measured"]})
    assert offered(store) == set()
    assert held is not None
    held.release()
    assert offered(store) == {"executing"}


def test_what_a_killed_measurement_left_goes_and_one_that_goes_on_stays(store: Path) -> None:
    for name in (".probe-dead", ".probe-alive"):
        (store / name / "1").mkdir(parents=True)
    held = claim(RunFolder(store / ".probe-alive"))
    assert held is not None
    assert offered(store) == {".probe-dead"}
    assert main(["gc", "--yes", "--runs", str(store)]) == 0
    assert [path.name for path in store.glob(".probe-*")] == [".probe-alive"]
    held.release()


def test_a_result_of_an_earlier_declaration_stays(store: Path) -> None:
    """The study was declared anew with other runs; what the first declaration lists is evidence."""
    ledger = Ledger.of(store)
    (first,) = (entry for entry in ledger.read() if entry.event == "declared")
    ledger.append("amended", **{**first.payload, "runs": [["another", "gelu", 0]]})
    assert offered(store) == set()


def test_an_unfinished_run_that_another_has_taken_the_place_of_needs_its_checkpoint_no_more(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    made = plan(outline(load(lab().study)))
    moved = replace(made, runs=tuple(replace(run, id=run.id[::-1]) for run in made.runs))
    for each in (moved, made):
        register(each, tmp_path)
        run = each.runs[0]
        who = {"study": made.study.name, "run": run.id, "arm": run.arm, "seed": run.seed}
        Ledger.of(tmp_path).append("started", **who)
        folder = RunFolder(tmp_path / run.id)
        folder.create(run.record, {})
        folder.checkpoint.write_bytes(b"x")
        assert offered(tmp_path) == set() or each is made
    (found,) = waste(tmp_path)
    assert found.path == tmp_path / moved.runs[0].id / "checkpoint.pt"
    assert found.why == "checkpoint of a run of an older identity, that another has taken the place of"


def test_a_trunk_keeps_its_checkpoint_until_all_of_its_branches_are_complete(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(arms={"gelu": {}, "slow": {"optim": {"weight_decay": 0.0}}}, mode="fork", fork_at=0.5)
    made = plan(outline(load(here.study)))
    assert main(here.command("--no-mlflow")) == 0
    trunk = RunFolder(here.runs / made.trunks[0].id)
    branch = RunFolder(here.runs / next(run.id for run in made.runs if run.seed == made.trunks[0].seed))
    result = (branch.path / "result.json").read_bytes()
    (branch.path / "result.json").unlink()
    assert trunk.checkpoint.exists()
    assert f"{trunk.id}/checkpoint.pt" not in offered(here.runs)
    (branch.path / "result.json").write_bytes(result)
    assert f"{trunk.id}/checkpoint.pt" in offered(here.runs)
    assert main(["gc", "--yes", "--runs", str(here.runs)]) == 0
    assert main(["rerun", branch.id, "--runs", str(here.runs)]) == 2
    assert f"the checkpoint of {trunk.id}, with which {branch.id} began, is not there" in capsys.readouterr().err
    assert branch.result() is not None


@pytest.fixture
def given_up(lab: Callable[..., Lab]) -> Plan:
    """A study that gave up the arm `relu2` at its pause, and goes on with `slow`; by its runs on disk."""
    here = lab(**ABORT)
    made = plan(outline(load(here.study)))
    here.runs.mkdir()
    register(made, here.runs)
    at = [3.0, 3.1, 3.2, 3.3, 3.4]
    reach(
        made,
        here.runs,
        "gelu",
        at,
        [loss - drop for loss, drop in zip(at, (0.5, 0.501, 0.499, 0.5, 0.502), strict=True)],
    )
    reach(made, here.runs, "slow", [loss + 1 for loss in at])
    reach(made, here.runs, "relu2", [loss + sign * 0.05 for loss, sign in zip(at, (1, -1, 0, -1, 1), strict=True)])
    return made


def test_a_run_of_an_arm_that_was_given_up_needs_its_checkpoint_no_more(given_up: Plan) -> None:
    store = given_up.study.path.parent / "runs"
    assert offered(store) == set(), "nothing was decided yet"
    note(given_up, store)
    assert offered(store) == {f"{run.id}/checkpoint.pt" for run in given_up.runs if run.arm == "relu2"}
    before, planned = missing(given_up, store), runs_of(latest(Ledger.of(store).read())["tiny"], store)
    states = [status_of(store, run).state for run in planned]
    assert main(["gc", "--yes", "--runs", str(store)]) == 0
    assert offered(store) == set()
    assert missing(given_up, store) == before
    assert [status_of(store, run).state for run in planned] == states


def test_a_run_that_another_study_may_finish_keeps_its_checkpoint(given_up: Plan, lab: Callable[..., Lab]) -> None:
    store = given_up.study.path.parent / "runs"
    note(given_up, store)
    other = plan(outline(load(lab("other", **{**ABORT, "test": TEST}).study)))
    assert {run.id for run in other.runs} == {run.id for run in given_up.runs}
    register(other, store)
    assert offered(store) == set()


def test_a_decision_on_runs_that_were_planned_anew_gives_up_none_of_the_new_ones(given_up: Plan) -> None:
    store = given_up.study.path.parent / "runs"
    note(given_up, store)
    ledger = Ledger.of(store)
    (first,) = (entry for entry in ledger.read() if entry.event == "declared")
    ledger.append("replanned", **first.payload)
    assert offered(store) == set()


def test_without_a_ledger_nothing_is_known_to_be_needless(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "ledger.jsonl").unlink()
    assert main(["gc", "--yes", "--runs", str(store)]) == 2
    assert "nothing says which runs are needed" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1300, "1.3 kB"), (2.5e9, "2.5 GB")])
def test_sizes_are_readable(size: float, text: str) -> None:
    assert amount(size) == text


def test_weights_go_with_a_run_that_no_study_needs_and_that_is_told(store: Path) -> None:
    stray(store, "undeclared")
    assert [each.why for each in waste(store)] == ["no declared study uses it, its final weights neither"]


def test_final_weights_of_needed_runs_are_deleted_only_by_name(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = sorted(path.parent.name for path in store.glob("*/config.json"))
    assert main(["gc", "--yes", "--runs", str(store)]) == 0
    assert all(RunFolder(store / run).weights.exists() for run in runs)
    capsys.readouterr()
    assert main(["gc", "--weights", "--runs", str(store)]) == 0
    assert "coregpt gc --weights --yes deletes it" in capsys.readouterr().out
    unfinished = RunFolder(store / runs[0])
    (unfinished.path / "result.json").unlink()
    assert main(["gc", "--weights", "--yes", "--runs", str(store)]) == 0
    left = [run for run in runs if RunFolder(store / run).weights.exists()]
    assert left == runs[:1]  # it may be the next one to need them written
    assert all(RunFolder(store / run).result() for run in runs[1:])


def test_what_a_needed_run_is_given_is_needed_with_its_weights_and_what_that_was_given(store: Path) -> None:
    runs = sorted(path.parent.name for path in store.glob("*/config.json"))
    teacher, first = stray(store, "teacher"), stray(store, "first")
    for pupil, given in ((RunFolder(store / runs[0]), "teacher"), (teacher, "first")):
        config = pupil.config()
        config["config"]["inputs"] = {"teacher": {"run": given, "file": None, "sha256": None}}
        write_json(pupil.path / "config.json", config)
    assert waste(store) == []
    kept = {each.run for each in waste(store, weights=True)}
    assert kept == set(runs)
    assert first.weights.exists()


def test_weights_of_an_earlier_execution_are_offered(store: Path) -> None:
    run = RunFolder(next(store.glob("*/config.json")).parent)
    attempt = run.path / "attempts" / "1"
    attempt.mkdir(parents=True)
    shutil.copy(run.weights, attempt / "weights.pt")
    assert main(["gc", "--yes", "--runs", str(store)]) == 0
    assert attempt.exists()
    assert not (attempt / "weights.pt").exists()
    assert run.weights.exists()
