"""A published report against fresh seeds: an honest one agrees, an edited one does not."""

import json
import math
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coregpt.cli import main
from coregpt.report.analysis.replication import check, predict
from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.environment import environment_digest
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.serialise import from_json, to_json
from tests.lab.conftest import Lab
from tests.report import studies


def comparison(gain: float = 0.1, sd: float = 0.05, n: int = 6, **changes: Any) -> Comparison:
    facts = {"arm": "new", "verdict": "better", "gain": gain, "se": sd / math.sqrt(n), "df": n - 1, "pairs": n}
    return Comparison(**{**facts, **changes})


def test_the_interval_is_the_prediction_interval_for_the_difference_of_two_estimates() -> None:
    found = predict(comparison(), 3, 1)
    assert found is not None
    half = 2.570582 * 0.05 * math.sqrt(1 / 6 + 1 / 3)  # t table, 5 degrees of freedom, two-sided 95%
    assert found.interval == pytest.approx((0.1 - half, 0.1 + half), rel=1e-6)


def test_true_effects_agree_as_often_as_said_and_no_effect_as_rarely() -> None:
    """Both estimates simulated: 95% agreement under one true effect, whatever it is."""
    rng = np.random.default_rng(0)
    n, k, rounds = 5, 3, 4000
    agreed = 0
    for _ in range(rounds):
        d = rng.normal(0.3, 0.1, n)
        found = predict(comparison(d.mean(), d.std(ddof=1), n), k, 1)
        assert found is not None
        agreed += found.interval[0] <= rng.normal(0.3, 0.1, k).mean() <= found.interval[1]
    assert abs(agreed / rounds - 0.95) < 3 * math.sqrt(0.95 * 0.05 / rounds)
    strong, weak = predict(comparison(0.5), 3, 1), predict(comparison(0.01), 3, 1)
    assert strong is not None
    assert weak is not None
    assert strong.if_zero < 0.01 < 0.9 < weak.if_zero
    assert strong.if_true == pytest.approx(weak.if_true)


def test_more_seeds_sharpen_the_check_and_more_arms_widen_the_interval() -> None:
    few, many, several = predict(comparison(), 2, 1), predict(comparison(), 20, 1), predict(comparison(), 2, 5)
    assert few is not None
    assert many is not None
    assert several is not None
    assert many.if_zero < few.if_zero
    assert several.interval[1] > few.interval[1]


@pytest.mark.parametrize("changes", [{"gain": None}, {"se": None}, {"failures": (1, 0)}, {"missing_seeds": (1,)}])
def test_an_arm_without_a_published_interval_cannot_be_checked(changes: dict[str, Any]) -> None:
    assert predict(comparison(**changes), 3, 1) is None


def test_fresh_runs_are_compared_by_seed_and_a_diverged_one_disagrees() -> None:
    found = predict(comparison(0.1, 0.001), 2, 1)
    assert found is not None
    base = [studies.run("gpt", seed, value) for seed, value in ((7, 2.0), (8, 3.0))]
    close = [studies.run("new", seed, value) for seed, value in ((8, 2.9), (7, 1.9))]
    done = check(found, base, close)
    assert (done.agrees, done.fresh) == (True, pytest.approx(0.1))
    assert not check(found, base, [studies.run("new", 7, 2.0), studies.run("new", 8, 3.0)]).agrees
    gone = check(found, base, [studies.run("new", 7, None), studies.run("new", 8, 2.9)])
    assert not gone.agrees
    assert "1 of its fresh runs" in gone.reason


def test_arms_that_are_identical_agree_only_if_they_stay_identical() -> None:
    found = predict(comparison(0.0, 0.0), 2, 1)
    assert found is not None
    base = [studies.run("gpt", 7, 2.0), studies.run("gpt", 8, 3.0)]
    assert check(found, base, [studies.run("new", 7, 2.0), studies.run("new", 8, 3.0)]).agrees
    assert not check(found, base, [studies.run("new", 7, 2.0), studies.run("new", 8, 3.1)]).agrees


# -- through the whole program -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def executed(executed: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A copy of the study that all tests share: runs of verification are trained beside its own."""
    here = executed.with_runs_in(tmp_path_factory.mktemp("verified"))
    shutil.copytree(executed.folder, here.folder, dirs_exist_ok=True)
    return here


@pytest.fixture
def published(executed: Lab, tmp_path: Path) -> Path:
    """A copy of the tiny study's report, as a stranger gets it."""
    copy = tmp_path / "report.json"
    copy.write_bytes((executed.reports / "tiny" / "report.json").read_bytes())
    return copy


def verify(path: Path, lab: Lab, *extra: str) -> int:
    return main(["verify", str(path), "--seeds", "2", "--runs", str(lab.runs), *extra])


def shifted(path: Path, by: float) -> None:
    """Lower every result of the technique and redo all statistics: consistent, and made up."""
    report = from_json(path.read_text())
    runs = [
        studies.RunFacts(
            run_id=r.run_id,
            arm=r.arm,
            seed=r.seed,
            status=r.status,
            value=(r.value or 0.0) - (by if r.arm == "relu2" else 0.0),
        )
        for r in report.runs
    ]
    path.write_text(to_json(summarise(report.study, runs)))


def test_an_honest_report_agrees_and_says_what_that_is_worth(
    executed: Lab, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(published, executed) == 0
    out = capsys.readouterr().out
    assert "2 fresh seeds per arm (2, 3), none of them in the report." in out
    assert "Chance of 'agrees' if the published gain is true" in out
    assert "Engine, plugins, data and environment are those of the report." in out
    assert "relu2: agrees. Fresh gain" in out
    assert verify(published, executed) == 0
    assert "nothing to train" in capsys.readouterr().out


def test_by_its_file_and_on_other_hardware_it_works_and_says_what_is_another(
    executed: Lab, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report came from a GPU under other versions: its declaration is the same, so the file is its study's."""
    data = json.loads(published.read_text())
    there = data["study"]["environment"]["values"]
    torch_here, there["torch"], there["device"], there["precision"] = there["torch"], "1.0", "NVIDIA H100", "bf16"
    data["study"]["environment"]["digest"] = environment_digest(there, data["study"]["data"]["sha256"])
    published.write_text(json.dumps(data))
    assert verify(published, executed, "--study", str(executed.study)) == 0
    out = capsys.readouterr().out
    here = f"device NVIDIA H100 (here CPU {platform.machine()}); torch 1.0 (here {torch_here})"
    assert f"Not the same as for the report: precision bf16 (here fp32); {here}. A disagreement" in out
    assert "relu2: agrees." in out


def test_a_report_with_made_up_results_disagrees(
    executed: Lab, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = executed.report()["comparisons"][0]
    shifted(published, 100 * report["se"] + 1.0)
    assert verify(published, executed) == 1
    assert "relu2: DISAGREES. Fresh gain" in capsys.readouterr().out


def test_a_report_whose_effect_was_edited_alone_disagrees_with_itself(
    executed: Lab, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(published.read_text())
    data["comparisons"][0]["gain"] += 0.01
    published.write_text(json.dumps(data))
    assert verify(published, executed) == 1
    assert "DISAGREES with itself. relu2: the report says gain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda data: data["study"]["declaration"].update(scale="big"), "it was edited"),
        (lambda data: data["study"].update(declaration={}), "--study STUDY.yaml"),
        (lambda data: data.update(schema=99), "newer"),
        (lambda data: data["comparisons"][0].update(se=None, gain=None), "nothing to check"),
    ],
)
def test_a_report_that_cannot_be_checked_exits_2(
    executed: Lab,
    published: Path,
    edit: Callable[[dict[str, Any]], None],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = json.loads(published.read_text())
    edit(data)
    published.write_text(json.dumps(data))
    assert verify(published, executed) == 2
    assert words in capsys.readouterr().err


def test_one_seed_or_another_study_is_refused(
    executed: Lab, published: Path, lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(published, executed, "--seeds", "1") == 2
    assert "at least 2 fresh seeds" in capsys.readouterr().err
    assert verify(published, executed, "--study", str(lab(seeds=5).study)) == 2
    assert "is not the study of" in capsys.readouterr().err


def test_the_study_file_itself_may_be_given(executed: Lab, published: Path) -> None:
    assert verify(published, executed, "--study", str(executed.study)) == 0
