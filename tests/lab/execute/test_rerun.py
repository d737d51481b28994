"""A run executed again confirms its result or loses it; it can never get a better one."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.claims import claim
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.report.analysis.collect import collect
from tests.lab.conftest import STUDY, Lab


@pytest.fixture
def here(executed: Lab, tmp_path: Path) -> Lab:
    """A copy of the executed study, to do harm to."""
    shutil.copytree(executed.runs, tmp_path / "runs")
    return executed.with_runs_in(tmp_path)


def first(lab: Lab) -> RunFolder:
    return RunFolder(lab.runs / plan(outline(load(lab.study))).runs[0].id)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def statuses(lab: Lab) -> list[tuple[str, str]]:
    return [(run.status, run.reason) for run in collect(plan(outline(load(lab.study))), lab.runs)[1]]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_result_comes_out_and_both_executions_are_kept(
    here: Lab, executed: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = first(here)
    before = folder.result()
    assert before is not None
    assert main(["rerun", "gelu/0", "--runs", str(here.runs), "--reason", "a doubt"]) == 0
    assert ", as before" in capsys.readouterr().out
    after = folder.result()
    assert after is not None
    assert (after["status"], after["value"]) == (before["status"], before["value"])
    assert json.loads((folder.path / "attempts" / "1" / "result.json").read_text()) == before
    events = [entry for entry in Ledger.of(here.runs).read() if entry.get("run") == folder.id]
    assert [entry.event for entry in events] == ["started", "ended", "rerun", "started", "ended"]
    assert (events[2]["reason"], events[2]["value"]) == ("a doubt", before["value"])
    assert {status for status, _ in statuses(here)} == {"finished"}
    assert main(here.command("--no-mlflow")) == 0
    ours, theirs = here.report(), executed.report()
    assert ours["runs"] == theirs["runs"]


@pytest.mark.parametrize("times", [1, 2])
def test_a_result_that_cannot_be_reproduced_counts_no_longer(
    here: Lab, capsys: pytest.CaptureFixture[str], times: int
) -> None:
    """The first result was better than what the code gives; executing it again any number of times mends nothing."""
    folder = first(here)
    true = (folder.result() or {})["value"]
    ledger = Ledger.of(here.runs)
    entries = [(e.event, dict(e.payload)) for e in ledger.read()]
    ledger.path.unlink()
    for event, payload in entries:
        if event == "ended" and payload["run"] == folder.id:
            payload["value"] = true - 0.1
        ledger.append(event, **payload)  # type: ignore[arg-type]
    edit(folder.path / "result.json", value=true - 0.1)
    for _ in range(times):
        assert main(["rerun", folder.id[:8], "--runs", str(here.runs)]) == 1
    reason = f"not reproducible: finished {true - 0.1} then finished {true}"
    assert reason in capsys.readouterr().out
    assert statuses(here)[0] == ("failed", reason)
    assert main(["ledger", "verify", "--runs", str(here.runs)]) == 1
    assert f"run {folder.id}: {reason}" in capsys.readouterr().out
    assert main(here.command("--no-mlflow")) == 1  # a comparison without an outcome
    assert "invalid" in json.dumps(here.report()["comparisons"])


def test_a_folder_deleted_to_try_again_is_held_to_its_first_result(here: Lab) -> None:
    folder = first(here)
    ledger = Ledger.of(here.runs)
    known = {"study": "tiny", "run": folder.id, "arm": "gelu", "seed": 0}
    ledger.append("started", **known)
    ledger.append("ended", **known, status="finished", value=0.5)
    past = {run.id: run for run in History(ledger.read(), "tiny").runs()}[folder.id]
    assert past.contradiction.endswith("then finished 0.5")
    edit(folder.path / "result.json", value=0.5)
    assert statuses(here)[0][0] == "failed"


def test_a_result_the_ledger_missed_is_not_forgotten_by_executing_again(here: Lab) -> None:
    """A launcher that was killed entered no end; the result that is set aside is part of the record all the same."""
    folder = first(here)
    true = (folder.result() or {})["value"]
    edit(folder.path / "result.json", value=true + 1)
    assert main(["rerun", folder.id, "--runs", str(here.runs)]) == 1
    assert statuses(here)[0][1].startswith("not reproducible")


@pytest.mark.parametrize("trouble", ["claimed", "moved", "elsewhere", "other processor", "trunk"])
def test_what_cannot_be_executed_again_is_refused_and_stays_as_it_is(
    here: Lab, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = first(here)
    held = claim(folder) if trouble == "claimed" else None
    if trouble == "moved":
        edit(folder.path / "config.json", data="0" * 64, config={**folder.config()["config"], "tokens": 6400})
    elif trouble == "elsewhere":
        edit(folder.path / "env.json", torch="1.0")
    elif trouble == "other processor":
        edit(folder.path / "env.json", processor="Abacus")
    elif trouble == "trunk":
        edit(folder.path / "config.json", until=3)
    before = files(here.runs)
    assert main(["rerun", folder.id, "--runs", str(here.runs)]) in (1, 2)
    assert files(here.runs) == before
    words = {
        "claimed": "is being executed by another process",
        "moved": "was planned with other sources or data",
        "elsewhere": "computed with torch 1.0, here",
        "other processor": "computed with processor Abacus, here",
        "trunk": "is a trunk",
    }
    assert words[trouble] in capsys.readouterr().err
    if held is not None:
        held.release()


@pytest.mark.slow
def test_an_interrupted_execution_is_gone_on_with_by_ablate(lab: Callable[..., Lab]) -> None:
    here = lab(base={**STUDY["base"], "tokens": 64 * 1000})
    assert main(here.command("--no-mlflow")) == 0
    folder = first(here)
    before = folder.result()
    assert before is not None
    command = [sys.executable, "-m", "coregpt.cli", "rerun", folder.id, "--runs", str(here.runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while folder.newest().get("step", 0) < 1 or folder.result() is not None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, folder.result()) == (130, None)
    assert "coregpt ablate goes on with it" in output
    assert statuses(here)[0][0] == "missing"
    assert main(here.command("--no-mlflow")) == 0
    assert (folder.result() or {})["value"] == before["value"]
    assert {status for status, _ in statuses(here)} == {"finished"}
