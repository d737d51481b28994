"""A newcomer's clone stays clean: what `ablate` writes lies beside the runs, and publishing is an act of its own."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.results import load
from tests.lab.conftest import Lab

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(executed: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the tiny study, its published report, and this one's list of what git leaves alone."""
    here = tmp_path / "clone"
    shutil.copytree(executed.folder, here)
    shutil.copy(ROOT / ".gitignore", here)
    monkeypatch.chdir(here)
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "all"]):
        subprocess.run(["git", *words], check=True)
    return here


def changed() -> str:
    return subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True).stdout


def test_ablate_leaves_a_clone_clean_and_says_how_to_publish(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "tiny.yaml", "--no-mlflow"]) == 0
    assert changed() == ""
    said = capsys.readouterr().out
    assert "Every run came to what it came to in reports/tiny/report.json, to the last digit." in said
    assert "  runs/reports/tiny/report.html" in said
    assert "To publish it: coregpt ablate tiny.yaml --reports reports" in said
    own = json.loads(Path("runs/reports/tiny/report.json").read_text())
    assert own["published"]["same"] is True
    assert own["study"]["environment"]["digest"]
    assert load("tiny").source == Path("runs/reports/tiny/report.json")
    assert load("tiny", "reports").source == Path("reports/tiny/report.json")
    assert main(["ablate", "tiny.yaml", "--no-mlflow", "--reports", "reports"]) == 0
    assert "To publish it" not in (said := capsys.readouterr().out)
    assert "Every run came to what it came to in reports/tiny/report.json" in said
    assert changed() == ""  # the same bytes: it is the same report


def test_a_published_report_on_another_declaration_is_not_held_against(clone: Path) -> None:
    published = Path("reports/tiny/report.json")
    data = json.loads(published.read_text())
    data["study"]["declaration"]["test"]["margin"], data["study"]["digest"] = 0.5, "0" * 64
    published.write_text(json.dumps(data))
    assert main(["ablate", "tiny.yaml", "--no-mlflow"]) == 0
    assert "published" not in json.loads(Path("runs/reports/tiny/report.json").read_text())


def test_a_published_report_that_cannot_be_read_is_in_nobodys_way(clone: Path) -> None:
    Path("reports/tiny/report.json").write_text("{")
    assert main(["ablate", "tiny.yaml", "--no-mlflow"]) == 0
    assert main(["results", "tiny"]) == 0
