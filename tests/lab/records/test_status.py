"""What the seeing commands say agrees with what is on disk, while runs execute and afterwards."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.execute import run_table
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.records.claims import claim, claimed, holder
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import Planned, RunStatus, find, remaining, status_of
from coregpt.lab.records.store import MetricsLog, RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import Lab

Seen = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Seen]:
    """`run("ls")` gives exit code, standard output and standard error."""

    def call(*arguments: object) -> Seen:
        code = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def made(lab: Callable[..., Lab]) -> tuple[Lab, Plan]:
    """A study that is declared and of which nothing has run."""
    here = lab()
    planned = plan(outline(load(here.study)))
    register(planned, here.runs)
    return here, planned


def half_way(here: Lab, planned: Plan, at: int) -> RunFolder:
    """A run at step 60 of 120 after 10 s."""
    folder = RunFolder(here.runs / planned.runs[at].id)
    folder.create(planned.runs[at].record, {})
    log = MetricsLog(folder)
    log.record({"step": 60, "tokens": 64 * 60, "seconds": 10.0, "loss": 1.5})
    log.close()
    return folder


def test_every_state_is_told(made: tuple[Lab, Plan], run: Callable[..., Seen]) -> None:
    here, planned = made
    held = claim(half_way(here, planned, 0))
    half_way(here, planned, 1)
    half_way(here, planned, 2).write_error("it broke", "trace")
    RunFolder(here.runs / planned.runs[2].id).log.write_text("one\ntwo\n")
    assert held is not None
    code, out, _ = run("status", here.study, "--runs", here.runs)
    assert code == 0
    assert [line.split()[:4] for line in out.splitlines()[1:5]] == [
        ["gelu", "0", "running", "60"],
        ["gelu", "1", "stopped", "60"],
        ["relu2", "0", "FAILED", "60"],
        ["relu2", "1", "waiting"],
    ]
    assert "FAILED relu2 seed 0: it broke\n  | one\n  | two\n" in out
    assert f"gelu seed 0: held by {holder(RunFolder(here.runs / planned.runs[0].id))}, last sign" in out
    # 3 halves and a whole of 20 s each are left, one at a time; 3 x 10 s are spent
    assert "tiny: 0 of 4 runs done, about 50 s left, 0.0083 CPU h so far" in out
    held.release()
    code, out, _ = run("status", "--runs", here.runs)
    words = out.splitlines()[1].split("  ")
    assert [word.strip() for word in words if word][:4] == [
        "tiny",
        "38%",
        "2 stopped, 1 FAILED, 1 waiting",
        "0.0083 CPU h",
    ]


def test_asking_for_a_claim_neither_takes_nor_makes_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not claimed(folder)
    assert not list(tmp_path.iterdir())
    held = claim(folder)
    assert held is not None
    assert claimed(folder)
    held.release()
    assert not claimed(folder)


def test_the_launchers_table_tells_its_own_runs_from_those_of_others(made: tuple[Lab, Plan]) -> None:
    here, planned = made
    half_way(here, planned, 0)
    half_way(here, planned, 1)
    first, second, *others = run_table.RunTable(planned, here.runs).lines({planned.runs[0].id}, {planned.runs[1].id})
    assert (first.state, first.step, first.steps, first.loss, first.speed) == ("running", 60, 120, 1.5, 384.0)
    assert first.left == 10.0
    assert second.state == "elsewhere"
    assert {line.state for line in others} == {"waiting"}


def test_time_left_counts_runs_that_have_not_begun(tmp_path: Path) -> None:
    def at(arm: str, state: str, share: float, seconds: float) -> RunStatus:
        return RunStatus(Planned("x", "s", arm, 0), state, share=share, seconds=seconds)

    glances = [at("a", "done", 1, 100), at("b", "running", 0.5, 100), at("b", "running", 0.5, 100)]
    assert remaining(glances) == 100
    assert remaining([*glances, at("a", "waiting", 0, 0)]) == 150
    assert remaining(glances[:1]) is None


def test_ls_agrees_with_the_report(executed: Lab, run: Callable[..., Seen]) -> None:
    code, out, _ = run("ls", "--json", "--runs", executed.runs)
    assert code == 0
    listed = {(each["arm"], each["seed"]): each for each in json.loads(out)}
    for each in executed.report()["runs"]:
        seen = listed[each["arm"], each["seed"]]
        assert (seen["id"], seen["select_loss"], seen["state"]) == (each["run_id"], each["select"], "done")
    table = run("ls", "--study", "tiny", "--runs", executed.runs)[1]
    assert len(table.splitlines()) == 5


def test_a_run_is_found_by_id_beginning_and_cell(executed: Lab) -> None:
    entries = Ledger.of(executed.runs).read()
    wanted = next(each for each in executed.report()["runs"] if (each["arm"], each["seed"]) == ("relu2", 1))["run_id"]
    for name in (wanted, wanted[:8], "relu2/1"):
        assert find(entries, executed.runs, name).id == wanted


@pytest.mark.parametrize("command", ["logs", "rerun"])
@pytest.mark.parametrize(
    ("name", "words"), [("relu2/7", "did you mean 'relu2/1'?"), ("zzzz", "coregpt ls lists them"), ("", "no run ''")]
)
def test_an_unknown_run_exits_2(executed: Lab, run: Callable[..., Seen], command: str, name: str, words: str) -> None:
    code, out, err = run(command, name, "--runs", executed.runs)
    assert (code, out) == (2, "")
    assert words in err


def test_an_ambiguous_beginning_is_refused_and_a_typing_mistake_corrected(
    executed: Lab, tmp_path: Path, run: Callable[..., Seen]
) -> None:
    first = next(executed.runs.glob("*/config.json"))
    for name in ("aaaa1111", "aaaa2222"):
        (tmp_path / name).mkdir()
        shutil.copy(first, tmp_path / name)
    assert "is the beginning of 2 runs: aaaa1111, aaaa2222" in run("logs", "aaaa", "--runs", tmp_path)[2]
    assert "did you mean 'aaaa1111'?" in run("logs", "aaba1111", "--runs", tmp_path)[2]


def test_an_unknown_study_exits_2(executed: Lab, run: Callable[..., Seen], tmp_path: Path) -> None:
    assert "did you mean 'tiny'?" in run("status", "tinny.yaml", "--runs", executed.runs)[2]
    code, _, err = run("status", "--runs", tmp_path)
    assert code == 2
    assert "there is no ledger" in err


def test_logs_are_printed_and_followed_to_the_end(
    made: tuple[Lab, Plan], run: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, planned = made
    folder = half_way(here, planned, 0)
    assert (
        "gelu/0 has printed nothing; it is stopped at step 60, loss 1.5"
        in run("logs", "gelu/0", "--runs", here.runs)[1]
    )
    folder.log.write_text("one\n")
    naps = iter(["two\n", "three\n", None])

    def nap(_: float) -> None:
        text = next(naps)
        if text is None:
            folder.write_result({"status": "finished", "value": 1.0, "select": 1.0, "reason": ""})
        else:
            folder.log.write_text(folder.log.read_text() + text)

    monkeypatch.setattr("time.sleep", nap)
    assert run("logs", "gelu/0", "--follow", "--runs", here.runs)[1] == "one\ntwo\nthree\n"
    assert status_of(here.runs, Planned(folder.id, "tiny", "gelu", 0)).state == "done"


def test_a_look_at_a_long_study_reads_no_more_than_one_at_a_short_one(
    made: tuple[Lab, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, planned = made
    looked = list[str]()

    def counting(store: Path, run: Planned, *rest: Any) -> RunStatus:
        looked.append(run.id)
        return status_of(store, run, *rest)

    monkeypatch.setattr(run_table, "AT_ONCE", 1)
    monkeypatch.setattr(run_table, "status_of", counting)
    ids = [run.id for run in planned.runs]
    shown = run_table.RunTable(planned, here.runs)
    assert len(shown.lines({ids[0]}, set())) == len(ids)
    for folder in (half_way(here, planned, 0), half_way(here, planned, 1)):
        folder.write_result({"status": "finished", "value": 1.0, "select": 1.0, "train_seconds": 5.0})
    looked.clear()
    states = [line.state for line in shown.lines(set(), set())]
    assert states[0] == "done"  # what ran before is looked at, and one other
    assert len(looked) <= 2
    for _ in ids:  # another process's run is seen when its turn comes
        states = [line.state for line in shown.lines(set(), set())]
    assert states[:2] == ["done", "done"]
