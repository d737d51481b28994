"""`evaluate`: finished runs are measured beside their metric, by whoever asks, and nothing else changes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.engine import weights
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.report.analysis.own_runs import contradictions
from coregpt.report.facts.serialise import from_json
from tests.lab.conftest import FEWEST, Lab

ASKED = {"position": [8], "calibration": True}
NAMES = ["loss, tokens before: 0 to 7", "loss, tokens before: 8 to 15", "expected calibration error"]


def ablate(lab: Lab, *extra: str) -> int:
    return main(lab.command("--no-mlflow", *extra))


def again(lab: Lab, **changes: Any) -> Lab:
    """The same study with other words in its file."""
    text = lab.study.read_text().partition("\nevaluate:")[0].rstrip() + "\n"
    more = "".join(f"{key}: {json.dumps(value)}\n" for key, value in changes.items())
    lab.study.write_text(text + more)
    return lab


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """With five seeds, and without any secondary outcome."""
    from tests.lab.conftest import write_study

    folder = tmp_path_factory.mktemp("evaluated")
    done = Lab(folder, shards, write_study(folder / "tiny.yaml", shards, seeds=FEWEST))
    assert ablate(done) == 0
    return done


@pytest.fixture
def copy(trained: Lab, tmp_path: Path) -> Lab:
    shutil.copytree(trained.folder, tmp_path / "copy")
    return Lab(tmp_path / "copy", trained.data, tmp_path / "copy" / "tiny.yaml")


def secondary(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = lab.report()["secondary"]
    return found


def test_it_names_no_run_and_is_declared(lab: Callable[..., Lab]) -> None:
    plain, asking = load(lab().study), load(lab("b", evaluate=ASKED).study)
    assert [run.id for run in plan(outline(plain)).runs] == [run.id for run in plan(outline(asking)).runs]
    assert asking.preregistration()["evaluate"] == ASKED
    assert asking.digest != plain.digest
    assert "evaluate" not in plain.preregistration()


def test_finished_runs_are_measured_without_training_and_the_verdict_stays(
    copy: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    before, (runs, _) = copy.report(), copy.recorded()
    stamps = {path: path.stat().st_mtime_ns for path in copy.runs.glob("*/result.json")}
    assert ablate(again(copy, evaluate=ASKED)) == 0
    said = capsys.readouterr().out
    assert "nothing to train" in said
    assert "secondary outcomes of 10 runs to measure" in said
    after = copy.report()
    assert copy.recorded()[0] == runs
    assert {path: path.stat().st_mtime_ns for path in copy.runs.glob("*/result.json")} == stamps
    for key in ("headline", "comparisons", "notes", "runs", "arms"):
        assert after[key] == before[key], key
    assert after["study"]["exploratory"] == ""
    assert [row["outcome"] for row in secondary(copy)["results"]] == NAMES
    assert all(row["pairs"] == FEWEST and row["p"] is not None for row in secondary(copy)["results"])
    assert after["study"]["evaluated"]["known"] == 2 * FEWEST  # added in sight of results
    assert "Exploratory: these outcomes" in (copy.reports / "tiny" / "report.md").read_text()
    assert contradictions(from_json((copy.reports / "tiny" / "report.json").read_text())) == []
    assert ablate(copy) == 0  # measured once
    assert "to measure" not in capsys.readouterr().out
    assert copy.report()["secondary"] == after["secondary"]


def test_the_parts_of_the_loss_add_up_to_the_metric(copy: Lab) -> None:
    assert ablate(again(copy, evaluate=ASKED)) == 0
    report = copy.report()
    first, second = (each["values"] for each in report["study"]["evaluated"]["outcomes"][:2])
    for run in report["runs"]:
        parts = [values[run["arm"]][run["seed"]] for values in (first, second)]
        assert sum(parts) / 2 == pytest.approx(run["value"], abs=1e-6)


def test_declared_before_the_first_run_they_are_no_exploration(lab: Callable[..., Lab]) -> None:
    made = lab(evaluate=ASKED)
    assert ablate(made) == 0
    assert made.report()["study"]["evaluated"]["known"] == 0
    assert made.report()["study"]["exploratory"] == ""
    assert [entry.event for entry in Ledger.of(made.runs).read() if entry.event in ("declared", "replanned")] == [
        "declared"
    ]
    assert ablate(again(made, evaluate={"calibration": True})) == 0  # fewer, chosen in sight of all
    assert made.report()["study"]["evaluated"]["known"] == 4
    assert made.report()["study"]["exploratory"] == ""


def test_another_study_on_the_same_runs_asks_for_its_own(copy: Lab) -> None:
    assert ablate(again(copy, evaluate=ASKED)) == 0
    folder = next(copy.runs.glob("*/outcomes"))
    assert len(list(folder.iterdir())) == 1
    assert ablate(again(copy, evaluate={"frequency": True})) == 0
    assert len(list(folder.iterdir())) == 2
    assert all("times in training" in row["outcome"] for row in secondary(copy)["results"])


def test_weights_that_are_gone_or_not_the_runs_own_are_told(copy: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sorted(copy.runs.glob("*/weights.pt"))[:2]
    first.unlink()
    saved = weights.read(second)
    with torch.no_grad():
        next(iter(saved.params.values())).mul_(-1.0)
    weights.write(second, saved)
    assert ablate(again(copy, evaluate=ASKED)) == 1
    said = capsys.readouterr().out
    assert "has no weights" in said
    assert "its weights have a loss of" in said
    lacking = copy.report()["study"]["evaluated"]["lacking"]
    assert len(lacking) == 2
    assert all("nothing was measured of it" in line for line in lacking)
    assert copy.report()["comparisons"][0]["verdict"] != "invalid"
    assert {row["untested"] for row in secondary(copy)["results"]} & {
        "only 4 of 5 seeds have both",
        "only 3 of 5 seeds have both",
    }


def test_outcomes_of_another_result_are_measured_anew(copy: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(again(copy, evaluate=ASKED)) == 0
    folder = RunFolder(next(copy.runs.glob("*/outcomes")).parent)
    file = next((folder.path / "outcomes").iterdir())
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "of": {**kept["of"], "value": 1.0}, "values": []}))
    capsys.readouterr()
    assert ablate(copy) == 0
    assert "secondary outcomes of 1 run to measure" in capsys.readouterr().out
    assert json.loads(file.read_text()) == kept


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "expected one of position, frequency, document, calibration, longer, hellaswag"),
        ({"position": [8, 8]}, "position: expected rising numbers, got [8, 8]"),
        ({"longer": [1]}, "should be greater than or equal to 2"),
        ({"positions": True}, "unknown key; did you mean 'position'?"),
        ({"hellaswag": {"file": "no.jsonl"}}, "there is no file"),
    ],
)
def test_mistakes_are_told(lab: Callable[..., Lab], asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(lab(evaluate=asked).study)
    assert words in str(error.value)
    assert "tiny.yaml:" in str(error.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"calibration": True, "tokens": 250}, "evaluate.tokens: expected whole rows of 16 tokens, got 250"),
        ({"calibration": True, "tokens": 1600}, "1,600 tokens and one more are needed, and 'held_out' has 1,000"),
        ({"longer": [32]}, "a row of 32 x 16 tokens does not fit into 256; raise tokens"),
    ],
)
def test_what_the_data_do_not_hold_is_refused_before_training(
    lab: Callable[..., Lab], asked: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = lab(evaluate=asked)
    assert ablate(made) == 2
    assert words in capsys.readouterr().err
    assert not made.runs.exists()


def test_other_rows_nothing_kept_and_bytes_are_refused(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    arms = {"gelu": {}, "long": {"model": {"context": 32}}}
    assert ablate(lab(arms=arms, evaluate=ASKED)) == 2
    assert "arms have rows of other lengths: 16 in 'gelu', 32 in 'long'" in capsys.readouterr().err
    assert ablate(lab(keep="nothing", evaluate=ASKED)) == 2
    assert "'keep: nothing' leaves none" in capsys.readouterr().err


def test_questions_that_cannot_be_asked_are_refused_before_training(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    made = lab(evaluate={"hellaswag": {"file": "h.jsonl"}}, seeds=2)
    (made.folder / "h.jsonl").write_text('{"ctx": "a"}\n')
    assert ablate(made) == 2
    assert "h.jsonl:1: no 'endings'" in capsys.readouterr().err
    (made.folder / "h.jsonl").write_text('{"ctx": "a", "endings": ["b", "c"], "label": 0}\n')
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 2
    assert "evaluate.hellaswag" in capsys.readouterr().err  # these shards have no tokenizer
    assert not made.runs.exists()


def test_where_a_file_lies_is_not_declared(lab: Callable[..., Lab]) -> None:
    first = lab("a", evaluate={"hellaswag": {"file": "h.jsonl", "questions": 9}})
    for name in ("h.jsonl", "other.jsonl"):
        (first.folder / name).write_text("{}\n")
    second = lab("b", evaluate={"hellaswag": {"file": "other.jsonl", "questions": 9}})
    assert load(first.study).digest == load(second.study).digest
