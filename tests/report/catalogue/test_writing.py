"""`coregpt plugins pages` builds pairs that are new alone, and removes what it wrote once and does not write now."""

import json
from pathlib import Path

import pytest

from coregpt.cli.tools.catalogue import FACTS, known, write_pages
from coregpt.report.catalogue.names import ATLAS_TEXT, INDEX

COMMITTED = Path(__file__).parent.parent.parent.parent / "docs" / "techniques" / FACTS


def test_pairs_of_before_are_known_whatever_shape_effects_had(tmp_path: Path) -> None:
    told = json.loads(COMMITTED.read_text(encoding="utf-8"))
    for each in told["techniques"]:
        each["effects"] = [{"of": "another edition"}]
    file = tmp_path / FACTS
    file.write_text(json.dumps(told), encoding="utf-8")
    found = known(file)
    assert found is not None
    assert found.clashes == told["clashes"]
    assert len(found.digests()) == len(told["techniques"])
    file.write_text("[]", encoding="utf-8")
    assert known(file) is None
    assert known(tmp_path / "nothing") is None


def test_old_pages_and_pictures_leave_and_files_of_others_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FACTS).write_bytes(COMMITTED.read_bytes())
    for name, text in (("gone.html", "<!DOCTYPE html>"), ("atlas-gone.svg", "<svg/>"), ("mine.svg", "<svg/>")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert write_pages(tmp_path, "coregpt_plugins", tmp_path / "no.json", tmp_path / "no", again=False) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert not {"gone.html", "atlas-gone.svg"} & names
    assert {"mine.svg", INDEX, ATLAS_TEXT} <= names
    assert "pairs built" not in capsys.readouterr().out
