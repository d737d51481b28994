"""Studies with several sizes: read, executed, resumed, refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from coregpt.cli import main
from coregpt.lab.planning.load import load_family
from tests.lab.conftest import STUDY, Lab

SIZES = {"s": {"model": {"dim": 8}}, "m": {"model": {"dim": 16}}, "l": {"model": {"dim": 32}, "batch_tokens": 32}}
SHORT = {**STUDY["base"], "tokens": 64 * 6, "evals": 2}


def test_each_size_is_a_study_that_declares_all_of_them(lab: Callable[..., Lab]) -> None:
    studies = load_family(lab(sizes=SIZES).study)
    assert [study.name for study in studies] == ["tiny-s", "tiny-m", "tiny-l"]
    assert [study.arms[1].run.model.dim for study in studies] == [8, 16, 32]
    assert [study.arms[0].run.batch_tokens for study in studies] == [64, 64, 32]
    for study in studies:
        assert study.preregistration()["sizes"] == SIZES
        assert study.preregistration()["size"] == study.member
    assert len({study.digest for study in studies}) == 3


def test_a_size_lies_over_the_scale_and_under_the_arms(lab: Callable[..., Lab]) -> None:
    scales = {"near": {"tokens": 640}, "far": {"tokens": 1280, "model": {"dim": 64}}}
    arms = {"gelu": {}, "longer": {"tokens": 256}}
    studies = load_family(lab(sizes=SIZES, scales=scales, arms=arms, equal="steps").study, "far")
    assert [study.name for study in studies] == ["tiny-far-s", "tiny-far-m", "tiny-far-l"]
    assert [[arm.run.tokens for arm in study.arms] for study in studies] == [[1280, 256]] * 3
    assert [study.arms[0].run.model.dim for study in studies] == [8, 16, 32]


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"sizes": {"s": {}, "m": {"model": {"dim": 16}}}}, "sizes", "at least 3 sizes, smallest first, got 2"),
        ({"sizes": {**SIZES, "again": {"model": {"dim": 16}}}}, "sizes.again", "is the same as 'm'"),
        ({"sizes": {**SIZES, "xl": {"model": {"width": 16}}}}, "sizes.xl.model.width", "unknown"),
        ({"sizes": {**SIZES, "xl": {"seeds": 3}}}, "sizes.xl.seeds", "unknown"),
        ({"sizes": {**SIZES, "x/l": {"model": {"dim": 64}}}}, "sizes.x/l", "letters"),
        ({"sizes": SIZES, "scales": {"s": {}}}, "sizes.s", "also the name of a scale"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], changes: dict[str, Any], key: str, expected: str
) -> None:
    made = lab(**changes)
    assert main(made.command()) == 2
    said = capsys.readouterr().err
    wanted = [line for line in said.splitlines() if f": {key}: " in line]
    assert wanted, said
    assert expected in wanted[0]
    top = next(i for i, line in enumerate(made.study.read_text().splitlines(), 1) if line == "sizes:")
    assert int(wanted[0].split(f"{made.study}:")[1].split(":")[0]) >= top
    assert not made.reports.exists()


def test_sizes_must_grow(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    made = lab(sizes={name: SIZES[name] for name in ("s", "l", "m")})
    assert main(made.command()) == 2
    assert ": sizes.m: has" in capsys.readouterr().err
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 2
    assert not made.runs.exists()


def test_a_command_for_one_size_says_so(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    made = lab(sizes=SIZES)
    assert main(["noise", str(made.study), "--runs", str(made.runs), "--reports", str(made.reports)]) == 2
    assert "this command takes one size, and the study has 3" in capsys.readouterr().err


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """Three sizes of the tiny study, trained for a few steps."""
    from tests.lab.conftest import write_study

    folder = tmp_path_factory.mktemp("family")
    made = Lab(folder, shards, write_study(folder / "tiny.yaml", shards, sizes=SIZES, base=SHORT, seeds=5))
    assert main(made.command("--no-mlflow")) == 0
    return made


def test_every_size_has_its_report_and_the_family_its_trend(family: Lab) -> None:
    found = json.loads((family.reports / "tiny" / "trend.json").read_text())
    each = [json.loads((family.reports / f"tiny-{size}" / "report.json").read_text()) for size in SIZES]
    (arm,) = found["arms"]
    gains = [report["comparisons"][0]["gain"] for report in each]
    sizes = [report["study"]["arms"][0]["parameters"] for report in each]
    assert [point["gap"] for point in arm["points"]] == gains
    assert [point["parameters"] for point in arm["points"]] == sizes
    assert arm["slope"] == pytest.approx(stats.linregress(np.log10(sizes), gains).slope)
    assert found["studies"] == {report["study"]["name"]: report["study"]["digest"] for report in each}
    for page in ("report.md", "report.html"):
        assert arm["sentence"].split(":")[0] in (family.reports / "tiny" / page).read_text()


def test_sizes_are_declared_before_the_first_run(family: Lab) -> None:
    entries = [json.loads(line) for line in (family.runs / "ledger.jsonl").read_text().splitlines()]
    kinds = [entry["event"] for entry in entries if entry["event"] != "chained"]
    assert kinds[:3] == ["declared"] * 3
    assert kinds.count("declared") == 3


def test_again_changes_nothing_and_trains_nothing(family: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    trend = family.reports / "tiny" / "trend.json"
    before, ledger = trend.read_bytes(), (family.runs / "ledger.jsonl").read_bytes()
    trend.unlink()
    assert main(family.command("--no-mlflow")) == 0
    assert trend.read_bytes() == before
    assert (family.runs / "ledger.jsonl").read_bytes() == ledger
    assert capsys.readouterr().out.count("nothing to train") == 3


def test_a_size_can_be_verified(family: Lab) -> None:
    report = family.reports / "tiny-m" / "report.json"
    code = main(["verify", str(report), "--seeds", "2", "--study", str(family.study), "--runs", str(family.runs)])
    assert code in (0, 1)


def test_the_plan_shows_every_size(family: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(family.study), "--runs", str(family.runs)]) == 0
    said = capsys.readouterr().out
    assert [f"size {size}\n" in said for size in SIZES] == [True] * 3
