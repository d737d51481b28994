"""A declaration that changes after results exist makes the study exploratory; one that changes before does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coregpt.lab.config import load
from coregpt.lab.preregister import register
from coregpt.lab.store import RunFolder
from coregpt.lab.study import Plan, outline, plan
from tests.lab.conftest import Lab


def declared(lab: Callable[..., Lab], **changes: Any) -> Plan:
    return plan(outline(load(lab(**changes).study)))


def complete_one(made: Plan, store: Path) -> None:
    folder = RunFolder(store / made.runs[0].id)
    folder.create(made.runs[0].record, {})
    folder.write_result({"status": "finished"})


def test_a_study_may_change_until_its_first_run_is_complete(lab: Callable[..., Lab], tmp_path: Path) -> None:
    assert register(declared(lab), tmp_path) == ""
    assert register(declared(lab, seeds=3), tmp_path) == ""


def test_a_change_after_a_complete_run_is_told_for_ever(lab: Callable[..., Lab], tmp_path: Path) -> None:
    first = declared(lab)
    register(first, tmp_path)
    complete_one(first, tmp_path)
    assert register(first, tmp_path) == ""
    changed = declared(lab, test={"baseline": "gelu", "margin": 0.5})
    words = "amended when 1 run was complete: test.margin 0.02 -> 0.5"
    assert register(changed, tmp_path) == words
    assert register(changed, tmp_path) == words
    assert register(first, tmp_path) == f"{words}; amended when 1 run was complete: test.margin 0.5 -> 0.02"
