"""Commits that the command line of `coregpt judge` names: a wrong one is told by its option."""

from pathlib import Path

import pytest
import yaml

from coregpt.cli import main
from tests.lab.command.conftest import SAID


@pytest.mark.parametrize(
    ("baseline", "candidate", "repo", "told"),
    [
        ("mian", "candidate", "nano", "--baseline: 'mian' is no branch, tag or commit of"),
        ("main", "candidat", "nano", "--candidate: 'candidat' is no branch, tag or commit of"),
        ("main", "main", "nano", "--candidate: is the baseline"),
        ("main", "candidate", "nona", "base.command.repo: there is no folder"),
        ("main", "candidate", ".", "base.command.repo: "),
    ],
)
def test_a_wrong_commit_is_told_by_its_option(
    tmp_path: Path,
    nano: Path,
    capsys: pytest.CaptureFixture[str],
    baseline: str,
    candidate: str,
    repo: str,
    told: str,
) -> None:
    study = tmp_path / "judge.yaml"
    base = {"command": {**SAID, "repo": repo}, "device": "cpu"}
    study.write_text(
        yaml.safe_dump({"base": base, "arms": {}, "seeds": 5, "test": {"metric": "val_loss"}, "question": "Q"})
    )
    words = ["--study", str(study), "--baseline", baseline, "--candidate", candidate]
    assert main(["judge", *words, "--runs", str(tmp_path / "runs"), "--no-mlflow"]) == 2
    said = capsys.readouterr().err
    assert told in said.replace(f"{tmp_path}/", ""), said
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()
