"""What a run's log lacks of what a study needs: only steps that it has passed without being looked at."""

import json
from pathlib import Path
from typing import Any

import pytest

from coregpt.contract.config import RunConfig
from coregpt.lab.records.readings import lacking, unread
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.part import RunPart
from coregpt.lab.study.readings import Reading, along

NEEDS: frozenset[Reading] = frozenset({("held_out", 0), ("held_out", 5), ("held_out", 10), ("select", 5)})


def folder(path: Path, evaluated: dict[int, list[str]], last: int, **left: Any) -> RunFolder:
    """A run whose log goes to step `last`; `left` says what other files it has, by name."""
    rows = [{"step": step, "loss": 1.0} for step in range(1, last + 1)]
    rows += [{"step": step, **dict.fromkeys(names, 1.0)} for step, names in evaluated.items()]
    path.mkdir(exist_ok=True)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, content in left.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return RunFolder(path)


SELECT, BOTH = ["select_loss"], ["select_loss", "val_loss"]
FINISHED, DIVERGED = {"status": "finished"}, {"status": "diverged"}


@pytest.mark.parametrize(
    ("evaluated", "last", "left", "lacks"),
    [
        ({0: BOTH, 5: BOTH, 10: BOTH}, 10, {"result": FINISHED}, []),
        ({0: SELECT, 5: SELECT, 10: BOTH}, 10, {"result": FINISHED}, [("held_out", 0), ("held_out", 5)]),
        ({0: BOTH, 4: BOTH, 10: BOTH}, 10, {"result": FINISHED}, [("held_out", 5), ("select", 5)]),
        ({0: BOTH}, 5, {"result": DIVERGED}, []),  # the loss of step 5 was lost before it was evaluated
        ({0: SELECT}, 5, {"result": DIVERGED}, [("held_out", 0)]),
        ({0: BOTH}, 5, {}, []),  # on its way: it is evaluated when it goes on
        ({0: BOTH}, 5, {"paused": {"step": 5}}, [("held_out", 5), ("select", 5)]),
        ({0: BOTH}, 7, {}, [("held_out", 5), ("select", 5)]),
        ({}, 0, {}, []),
    ],
)
def test_only_what_a_run_has_passed_is_lacking(
    tmp_path: Path, evaluated: dict[int, list[str]], last: int, left: dict[str, Any], lacks: list[Reading]
) -> None:
    assert sorted(lacking(folder(tmp_path / "run", evaluated, last, **left), NEEDS)) == lacks
    assert lacking(RunFolder(tmp_path / "run"), frozenset()) == []


def test_a_branch_needs_what_its_trunk_was_read_at() -> None:
    config = RunConfig(evals=4, held_out_curve=True)
    trunk = along(config, 100, RunPart(until=40))
    assert trunk == {("held_out", 0), ("held_out", 25)}
    branch = along(config.model_copy(update={"evals": 2}), 100, RunPart(trunk="id", begin=40), trunk)
    assert branch == {*trunk, ("held_out", 50), ("held_out", 100)}
    assert along(RunConfig(evals=4), 100, RunPart()) == frozenset()


def test_readings_in_words() -> None:
    assert unread([("held_out", 5)]) == "on held_out after step 5"
    assert unread([("select", step) for step in range(6)]) == "on select after steps 0, 1, 2, 3 and 2 more"
