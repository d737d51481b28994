"""What a plan says of the weights that runs will leave: as much as they do leave."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from coregpt.cli import main
from coregpt.cli.studies.costs import kept_lines
from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.kept import kept
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import Lab


class Disk(NamedTuple):
    total: int
    used: int
    free: int


def test_it_is_as_large_as_what_runs_leave_but_for_what_the_file_says_of_itself(executed: Lab, tmp_path: Path) -> None:
    made = plan(outline(load(executed.study)))
    found = kept(made, tmp_path / "not" / "there")
    assert found is not None
    assert found.runs == 4
    written = sum(RunFolder(executed.runs / run.id).weights.stat().st_size for run in made.runs)
    assert 0 < written - found.bytes < 4 * 8192
    assert found.bytes == 4 * found.each == 4 * made.costs["gelu"].parameters * 4
    assert kept(made, executed.runs) is None


def test_the_plan_tells_it(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    here = lab()
    assert main(["plan", str(here.study), "--runs", str(here.runs)]) == 0
    assert (
        "Disk: final weights of 4 runs, 5 kB each, 18 kB in all, are kept until coregpt gc" in capsys.readouterr().out
    )
    assert main(["plan", str(here.study), "--runs", str(here.runs), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)[0]["kept_weights"]
    assert (told["runs"], told["bytes"]) == (4, 18432)


def test_a_disk_that_is_too_small_is_told_before(lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    here = lab()
    made = plan(outline(load(here.study)))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(10**6, 10**6, 10_000))
    assert kept_lines(made, here.runs) == [
        "Disk: final weights of 4 runs, 5 kB each, 18 kB in all, but only 10 kB are free; write `keep: nothing` in the "
        "study, or make room."
    ]


def test_keep_nothing_changes_no_identity_and_may_be_said_of_a_scale(lab: Callable[..., Lab]) -> None:
    usual = plan(outline(load(lab().study)))
    silent = plan(outline(load(lab(keep="nothing").study)))
    assert [run.id for run in silent.runs] == [run.id for run in usual.runs]
    assert silent.study.digest == usual.study.digest
    assert {run.record.get("keep") for run in silent.runs} == {"nothing"}
    assert {run.record.get("keep") for run in usual.runs} == {None}
    assert kept(silent, Path("nowhere")) is None
    scales: dict[str, Any] = {"small": {}, "large": {"keep": "nothing"}}
    study = lab(scales=scales).study
    assert [load(study, scale).keep for scale in scales] == ["weights", "nothing"]


def test_another_word_is_refused_with_its_line(lab: Callable[..., Lab]) -> None:
    with pytest.raises(ConfigError, match=r"tiny.yaml:\d+: keep: .*'weights' or 'nothing'.*got 'all'"):
        load(lab(keep="all").study)
    with pytest.raises(ConfigError, match=r"tiny.yaml:\d+: scales.big.keep: expected weights or nothing, got 'all'"):
        load(lab(scales={"big": {"keep": "all"}}).study)
