"""Runs that another identity has taken the place of are told, counted and listed; none of them counts."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import older_lines, register
from coregpt.lab.records.amendment import amendments
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import Lab


@pytest.fixture
def made(lab: Callable[..., Lab]) -> Plan:
    return plan(outline(load(lab().study)))


def moved(made: Plan, data: str = "", **parts: Any) -> Plan:
    """The same study as an earlier version, or other code, planned it: every run has another id."""
    runs = tuple(replace(run, id=run.id[::-1], record={**run.record, **parts, "id": run.id[::-1]}) for run in made.runs)
    source = replace(made.source, digest=data) if data else made.source
    return replace(made, runs=runs, source=source)


def trained(made: Plan, store: Path, runs: int) -> None:
    """Declared, and the first `runs` of it complete."""
    register(made, store)
    for run in made.runs[:runs]:
        folder, who = RunFolder(store / run.id), {"study": "tiny", "run": run.id, "arm": run.arm, "seed": run.seed}
        folder.create(run.record, {})
        Ledger.of(store).append("started", **who)
        folder.write_result({"status": "finished", "value": 1.0, "select": 1.0})
        Ledger.of(store).append("ended", **who, status="finished", value=1.0)


COUNTED = "3 runs of this study (3 finished) have an older identity and do not count"


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"engine": "old"}, "the engine changed"),
        ({"data": "old"}, "the data changed"),
        ({"plugins": {"relu2": "old"}}, "plugin relu2, or what it imports, changed (1)"),
        ({"engine": "old", "plugins": {"relu2": "old"}}, "the engine changed; plugin relu2, or what it imports"),
        ({}, "settings or the machine changed"),
    ],
)
def test_runs_of_an_older_identity_are_counted_with_the_reason(
    made: Plan, tmp_path: Path, parts: dict[str, Any], why: str
) -> None:
    trained(moved(made, **parts), tmp_path, 3)
    (line,) = older_lines(made, tmp_path)
    assert line.startswith(COUNTED)
    assert why in line
    assert older_lines(moved(made, **parts), tmp_path) == []


def test_a_study_without_older_runs_says_nothing(made: Plan, tmp_path: Path) -> None:
    assert older_lines(made, tmp_path) == []
    trained(made, tmp_path, 1)
    assert older_lines(made, tmp_path) == []


def test_status_and_ls_tell_older_runs(made: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = moved(made, engine="old")
    trained(before, tmp_path, 3)
    trained(made, tmp_path, 1)
    assert main(["status", "tiny", "--runs", str(tmp_path)]) == 0
    assert f"{COUNTED}; coregpt ls lists them as older" in capsys.readouterr().out
    assert main(["ls", "--runs", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert [", older" in lines[run.id] for run in before.runs[:3]] == [True] * 3
    assert "older" not in lines[made.runs[0].id]
    assert main(["ls", "--json", "--runs", str(tmp_path)]) == 0
    told = {run["id"]: run["older"] for run in json.loads(capsys.readouterr().out)}
    assert [told[run.id] for run in (*before.runs[:3], made.runs[0])] == [True] * 3 + [False]


@pytest.mark.parametrize(
    ("parts", "why", "number"),
    [({"engine": "old"}, "the engine", 3), ({"plugins": {"relu2": "old"}}, "plugin relu2", 1), ({}, "", 0)],
)
def test_status_and_ls_tell_at_once_that_code_has_changed(
    made: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: dict[str, Any], why: str, number: int
) -> None:
    """Before the study is declared again: nothing but the code here is newer than the ledger."""
    before = moved(made, **parts)
    trained(before, tmp_path, 3)
    assert main(["status", "tiny", "--runs", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert (f"{why} changed since; coregpt ablate trains them again" in told) == bool(number)
    assert main(["status", "--runs", str(tmp_path)]) == 0
    assert (f"({number} older)" in capsys.readouterr().out) == bool(number)
    assert main(["ls", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(", older") == number


def test_a_ledger_of_a_version_that_knew_fewer_settings_is_no_amendment(
    made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A declaration then had neither the settings that came later nor this version's digest."""
    earlier = made.study.preregistration()
    for arm in earlier["arms"].values():
        del arm["micro_rows"], arm["model"]["init_std"]
    body = {"digest": "of an older version", "declaration": earlier, "code": {"engine": "old", "plugins": {}}}
    body["code"] |= {"data": made.source.digest}
    runs = [[run.id[::-1], run.arm, run.seed] for run in made.runs]
    Ledger.of(tmp_path).append("declared", study="tiny", **body, runs=runs)
    run, arm, seed = runs[0]
    Ledger.of(tmp_path).append("started", study="tiny", run=run, arm=arm, seed=seed)
    assert register(made, tmp_path) == ""
    assert [entry.event for entry in Ledger.of(tmp_path).read() if entry.event != "chained"] == [
        "declared",
        "started",
        "replanned",
        "superseded",
    ]


def test_a_setting_that_came_later_is_an_amendment_where_it_is_not_the_default() -> None:
    def said(**own: Any) -> dict[str, Any]:
        return {"arms": {"a.b": {"data": {"source": "ok"}, "optim": {"lr": 0.1}, **own}}, "seeds": [0]}

    assert amendments(said(), said(micro_rows=None), same_data=True) == []
    assert amendments(said(), said(evals=7), same_data=True) == []
    assert amendments(said(), said(evals=8), same_data=True) == ["arms.a.b.evals"]
    assert amendments(said(evals=7), said(), same_data=True) == ["arms.a.b.evals"]
    other = {**said(data={"source": "x"}), "seeds": [0, 1]}
    assert amendments(said(), other, same_data=True) == ["seeds"]
    assert amendments(said(), other, same_data=False) == ["arms.a.b.data.source", "seeds"]
