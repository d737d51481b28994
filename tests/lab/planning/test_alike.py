"""What other runs train is read from their folders once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.lab.planning.alike import INDEX, known_alike
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import Lab
from tests.lab.planning.test_preregister import by_an_earlier_engine, declared


def test_folders_of_runs_are_read_once(
    lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, store, read = declared(lab), tmp_path / "runs", list[str]()
    by_an_earlier_engine(made, store)
    config = RunFolder.config

    def counted(folder: RunFolder) -> dict[str, object]:
        read.append(folder.id)
        return config(folder)

    monkeypatch.setattr(RunFolder, "config", counted)
    earlier = sorted([run.id[::-1], run.arm, run.seed] for run in made.runs)
    for _ in range(3):
        assert known_alike(made, store) == ([], earlier)
    assert sorted(read) == [run for run, *_ in earlier]
    (store / earlier[0][0] / "result.json").unlink()
    assert known_alike(made, store) == ([], earlier[1:])


@pytest.mark.parametrize("damage", ["{", "[]", '{"by": [], "runs": {}}', '{"runs": {"a": 1}}'])
def test_an_index_that_is_damaged_or_of_another_version_is_made_anew(
    lab: Callable[..., Lab], tmp_path: Path, damage: str
) -> None:
    made, store = declared(lab), tmp_path / "runs"
    by_an_earlier_engine(made, store)
    found = known_alike(made, store)
    whole = json.loads((store / INDEX).read_text())
    (store / INDEX).write_text(damage)
    assert known_alike(made, store) == found
    assert json.loads((store / INDEX).read_text()) == whole
