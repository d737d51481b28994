"""Data that cannot carry a verdict: refused before anything is recorded, told where they are repeated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coregpt.cli import main
from coregpt.engine.data import write_shard
from coregpt.lab.planning import enough
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.report.verdicts import passes
from tests.lab.conftest import STUDY, Lab, write_study

BASE = STUDY["base"]


def test_both_floors_warn_from_the_same_number_on() -> None:
    assert enough.MANY_PASSES == passes.MANY_PASSES


def few(folder: Path, train: int, val: int) -> Path:
    folder.mkdir()
    tokens = np.arange(train + val) % 16
    write_shard(folder / "train.bin", tokens[:train])
    write_shard(folder / "val.bin", tokens[train:])
    (folder / "meta.json").write_text('{"vocab": 16, "unit": "token"}')
    return folder


@pytest.mark.parametrize(
    ("train", "val", "changes", "key", "complaint"),
    [
        (
            16,
            400,
            {},
            "base.model.context",
            "a row of 16 tokens and its target do not fit into the training stream of few",
        ),
        (
            90,
            400,
            {"eval_tokens": 16, "batch_tokens": 128, "tokens": 128},
            "base.batch_tokens",
            "a batch of 128 tokens",
        ),
        (4000, 200, {}, "base.eval_tokens", "256 tokens are to be evaluated"),
        (1000, 4000, {}, "base.eval_tokens", "few has only 125 in 'select'"),
        (4000, 256, {}, "base.eval_tokens", "256 in 'select' and 256 in 'held_out'"),
    ],
)
def test_what_the_data_cannot_give_is_refused_with_its_line(
    tmp_path: Path, train: int, val: int, changes: Any, key: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = few(tmp_path / "few", train, val)
    study = write_study(tmp_path / "s.yaml", data, base={**BASE, **changes})
    made = Lab(tmp_path, data, study)
    for command in (["plan", str(study), "--runs", str(made.runs)], made.command()):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert complaint in said
        line = int(said.split(f"{study}:")[1].split(":")[0])
        assert f"{study}:{line}: {key}" in said
        assert study.read_text().splitlines()[line - 1].strip().startswith(key.rpartition(".")[2])
    assert not made.runs.exists()


def test_the_innermost_place_that_sets_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = few(tmp_path / "few", 4000, 300)
    study = write_study(tmp_path / "s.yaml", data, scales={"small": {"eval_tokens": 512}})
    assert main(["plan", str(study), "--runs", str(tmp_path / "runs")]) == 2
    assert ": scales.small.eval_tokens: 512 tokens are to be evaluated" in capsys.readouterr().err


def test_many_passes_are_warned_of(lab: Callable[..., Lab]) -> None:
    once = plan(outline(load(lab(base={**BASE, "tokens": 64 * 40}).study)))
    often = plan(outline(load(lab(base={**BASE, "tokens": 64 * 400}).study)))
    assert enough.pass_lines(once) == ["Each run goes 0.59 times over 4,375 training tokens of shards."]
    (warned,) = enough.pass_lines(often)
    assert warned.startswith("WARNING: each run goes 5.9 times over 4,375 training tokens of shards: from 4 times on")
