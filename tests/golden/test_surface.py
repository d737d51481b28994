"""Moving code around changes nothing that anybody outside can see."""

import json
from pathlib import Path

import pytest

from coregpt.report.facts.serialise import from_json
from coregpt.report.pages.render import render
from tests.golden.surface import FILE, ROOT, surface

REPORTS = sorted((ROOT / "reports").glob("*/report.json"))


def test_commands_studies_ledger_and_keys_are_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    now, before = json.loads(json.dumps(surface())), json.loads(FILE.read_text())
    assert now.keys() == before.keys()
    for kind in before:
        assert now[kind] == before[kind], f"{kind} changed; if that is meant: python -m tests.golden.surface"


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.parent.name)
def test_committed_reports_come_out_of_their_json_again(path: Path) -> None:
    for name, text in render(from_json(path.read_text())).items():
        assert (path.parent / name).read_bytes() == text.encode(), f"{path.parent.name}/{name}"
