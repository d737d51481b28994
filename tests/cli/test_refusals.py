"""A study that is refused leaves nothing behind, and `plan` and `ablate` refuse the same with the same words."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.cli.studies import loading, training
from coregpt.contract.errors import ConfigError
from coregpt.lab.planning import plans
from tests.lab.conftest import STUDY, Lab

BASE: dict[str, Any] = {**STUDY["base"], "tokens": 64 * 20}
SMALL: dict[str, Any] = {"base": BASE, "seeds": 5}
SLURM_SAYS_NO = "#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n"


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def elsewhere(made: Lab, source: str) -> Lab:
    """The study with other data."""
    made.study.write_text(made.study.read_text().replace(str(made.data), source))
    return made


def line_of(study: Path, text: str) -> int:
    return 1 + next(i for i, line in enumerate(study.read_text().splitlines()) if text in line)


def nothing_is_left(made: Lab, capsys: pytest.CaptureFixture[str]) -> str:
    """`plan` and `ablate` refuse it alike; returns what they said."""
    before = tree(made.folder)
    told = []
    for command in (["plan", str(made.study), "--runs", str(made.runs)], made.command()):
        assert main(command) == 2
        told.append(capsys.readouterr().err)
        assert tree(made.folder) == before
    assert told[0] == told[1]
    return told[0].removeprefix("coregpt: error: ").rstrip()


def test_data_that_are_nowhere(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    made = elsewhere(lab(**SMALL), "./nothing")
    said = nothing_is_left(made, capsys)
    assert said.startswith(f"{made.study}:{line_of(made.study, 'nothing')}: base.data.source: no data source or folder")
    assert str(made.folder / "nothing") in said
    assert said.endswith("expected one of pydocs, fineweb10B, or a folder of .bin shards")
    near = elsewhere(lab(**SMALL), "pydcs")
    assert nothing_is_left(near, capsys).endswith("did you mean 'pydocs'?")


@pytest.mark.parametrize("scale", [False, True])
def test_a_vocabulary_that_is_too_small(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], scale: bool
) -> None:
    few = {**BASE["model"], "vocab": 8}
    changes: dict[str, Any] = {"scales": {"tiny": {"model": {"vocab": 8}}}} if scale else {}
    made = lab(**{**SMALL, "base": BASE if scale else {**BASE, "model": few}, **changes})
    key = "scales.tiny.model.vocab" if scale else "base.model.vocab"
    where = f"{made.study}:{line_of(made.study, 'vocab: 8')}: {key}"
    assert nothing_is_left(made, capsys) == f"{where}: expected 16 or more, the token ids of shards, got 8"


@pytest.mark.parametrize("trials", [{}, {"bracket": {}}])
def test_seeds_that_can_decide_nothing(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], trials: dict[str, Any]
) -> None:
    made = lab(**{**SMALL, "seeds": 4, **trials})
    made.study.write_text(made.study.read_text().replace("  pilot: true\n", ""))
    said = nothing_is_left(made, capsys)
    assert said.startswith(f"{made.study}:{line_of(made.study, 'seeds:')}: seeds: 4 seeds of one pair of arms")
    before = tree(made.folder)
    assert main(["plan", str(made.study), "--runs", str(made.runs), "--emit", "sbatch"]) == 2
    assert said in capsys.readouterr().err
    assert tree(made.folder) == before


def test_seeds_of_a_scale_are_named_where_the_scale_says_them(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    made = lab(**SMALL, scales={"tiny": {"seeds": 4}})
    assert f"tiny.yaml:{line_of(made.study, 'seeds: 4')}: scales.tiny.seeds: " in nothing_is_left(made, capsys)


REFUSED: dict[str, dict[str, Any]] = {
    "an arm that cannot be built": {"arms": {"gelu": {}, "bad": {"model": {"heads": 3}}}},
    "unequal arms": {"arms": {"gelu": {}, "long": {"tokens": 64 * 40}}},
    "a batch larger than the data": {"base": {**BASE, "batch_tokens": 6400, "tokens": 6400}},
    "a GPU that is not here": {"base": {**BASE, "device": "cuda"}},
    "no report to take settings from": {"tuned": {"from": "none.json"}},
    "no history": {"seeds": 4, "test": {**STUDY["test"], "history": ["none.json"]}},
    "a technique that does nothing": {"arms": {"gelu": {}, "same": {"plugins": {"z_loss": {"weight": 0.0}}}}},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_whatever_else_is_wrong(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    made = lab(**{**SMALL, **changes})
    for line in nothing_is_left(made, capsys).splitlines():
        assert line.startswith(f"{made.study}:"), "every mistake is told with its line"
        assert line.removeprefix(f"{made.study}:").split(":")[0].isdigit()


@pytest.mark.parametrize("source", ["./nothing", "mixture", "tuned"])
def test_what_is_nowhere_is_told_before_any_model_is_built(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    def counted(*_: object) -> None:
        raise AssertionError("an arm was counted first")

    monkeypatch.setattr(plans, "counted", counted)
    monkeypatch.setattr(loading, "refuse_idle", counted)
    made = lab(**SMALL, **({"tuned": {"from": "none.json"}} if source == "tuned" else {}))
    if source == "mixture":
        data = f"source: {made.data}"
        made.study.write_text(
            made.study.read_text().replace(data, f"{data}\n    mixture: {{a: {{source: x, weight: 1}}}}")
        )
    elif source != "tuned":
        elsewhere(made, source)
    words = "cannot be read" if source == "tuned" else "no data source or folder"
    assert words in nothing_is_left(made, capsys)


def test_another_alpha_than_the_chains(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    first = lab("first", **SMALL)
    assert main(first.command("--no-mlflow")) == 0
    capsys.readouterr()
    before = tree(first.folder)
    test = {**STUDY["test"], "alpha": 0.1}
    for name, more in {"plain": {}, "bracketed": {"bracket": {}}, "tuned": {}}.items():
        second = lab(name, **{**SMALL, "arms": {"gelu": {}, "late": {"plugins": {"relu2": {}}}}}, test=test, **more)
        before.add(second.study.name)
        assert main(second.command()) == 2
        assert (
            f"{second.study}:{line_of(second.study, 'alpha')}: test.alpha: is 0.1, but 0.05" in capsys.readouterr().err
        )
        assert tree(first.folder) == before
        assert main(["plan", str(second.study), "--runs", str(second.runs), "--emit", "sbatch"]) == 2
        assert tree(first.folder) == before


@pytest.mark.parametrize("taken", ["runs", "reports"])
def test_a_folder_that_is_a_file(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], taken: str) -> None:
    made = lab(**SMALL)
    (made.folder / taken).write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(made.command())
    assert ended.value.code == 2
    assert f"argument --{taken}: expected a folder, got the file {made.folder / taken}" in capsys.readouterr().err


@pytest.mark.parametrize("taken", ["runs", "reports"])
@pytest.mark.parametrize("trials", [{}, {"bracket": {}}])
def test_a_folder_that_cannot_be_made(lab: Callable[..., Lab], taken: str, trials: dict[str, Any]) -> None:
    made = lab(**SMALL, **trials)
    (made.folder / "file").write_text("mine")
    before = tree(made.folder)
    places = {**{name: str(made.folder / name) for name in ("runs", "reports")}, taken: str(made.folder / "file/in")}
    where = ["--runs", places["runs"], "--reports", places["reports"]]
    assert main(["ablate", str(made.study), *where]) == 2
    assert main(["noise", str(made.study), *where, "--init", "2", "--data", "2"]) == 2
    assert tree(made.folder) == before


def test_a_run_of_more_gpus_than_there_are(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise ConfigError("gpus_per_run is 2, but 1 GPUs are visible")

    monkeypatch.setattr(training, "find_slots", none)
    made = lab(**SMALL)
    before = tree(made.folder)
    assert main(made.command()) == 2
    assert f"{made.study}:1: gpus_per_run: gpus_per_run is 2, but" in capsys.readouterr().err
    assert tree(made.folder) == before


def test_a_script_that_cannot_be_written_where_it_is_asked_for(lab: Callable[..., Lab]) -> None:
    made = lab(**SMALL)
    before = tree(made.folder)
    out = str(made.study / "job.sh")
    assert main(["plan", str(made.study), "--runs", str(made.runs), "--emit", "sbatch", "--out", out]) == 2
    assert tree(made.folder) == before


def test_slurm_that_takes_no_job(lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = lab(**SMALL)
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(SLURM_SAYS_NO)
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    before = tree(made.folder)
    assert main(made.command("--on", "slurm")) == 2
    assert tree(made.folder) == before


def test_a_plan_says_nothing_before_it_refuses_the_data(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab()
    here.study.write_text(here.study.read_text().replace(str(here.data), "./nothing"))
    assert main(["plan", str(here.study), "--runs", str(here.runs)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_a_ledger_to_merge_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text("{}\n")
    before = tree(tmp_path)
    assert main(["ledger", "merge", str(tmp_path), "--runs", str(tmp_path / "runs")]) == 2
    assert tree(tmp_path) == before
