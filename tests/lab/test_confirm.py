"""A real chain from end to end: screen, candidate on fresh seeds, ordinary study, abandoned one; two ledgers in one."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from coregpt.cli import main
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import register
from coregpt.stats.lond import level
from tests.lab.conftest import STUDY, Lab, write_study

BASE = {**STUDY["base"], "tokens": 64 * 40, "evals": 2}
TEST = {"baseline": "plain", "margin": 0.02}
HOT = {"optim": {"lr": 0.02}}


def write(folder: Path, data: Path, name: str, arms: dict[str, Any], **changes: Any) -> Path:
    whole = {"base": BASE, "seeds": 5, "test": TEST, **changes}
    return write_study(folder / f"{name}.yaml", data, arms={"plain": {}, **arms}, **whole)


def call(folder: Path, *words: str) -> int:
    more = ["--reports", str(folder / "reports"), "--no-mlflow"] if words[0] in ("ablate", "confirm") else []
    return main([*words, "--runs", str(folder / "runs"), *more])


def report(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "reports" / name / "report.json").read_text())
    return found


def chains(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert call(folder, "ledger", "chains", "--json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """A screen of two ideas, done: one that helps by far, one that does nothing but cost time."""
    folder = tmp_path_factory.mktemp("chain")
    arms = {"hot": HOT, "cold": {"optim": {"lr": 0.0001}}}
    study = write(folder, shards, "ideas", arms, stage="screen", test={**TEST, "alpha": 0.2})
    assert call(folder, "ablate", str(study)) == 0
    return folder


def test_a_chain_from_its_screen_to_its_last_confirmation(
    place: Path, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = str(place / "reports" / "ideas" / "report.json")
    verdicts = {c["arm"]: c["verdict"] for c in report(place, "ideas")["comparisons"]}
    assert verdicts == {"hot": "candidate", "cold": "no sign"}
    assert report(place, "ideas")["study"]["reads"] == "select"

    before = sorted(path for path in place.rglob("*") if path.is_file())
    for words, why in (
        (("confirm", screen, "--arm", "cold"), "no candidate"),
        (("confirm", screen, "--arm", "hit"), "'hit' is no arm"),
        (("confirm", screen, "--arm", "hot", "--seeds", "2"), "could decide nothing"),
        (("confirm", screen, "--arm", "hot", "--seeds", "5", "--anytime"), "can never decide"),
        (("verify", screen), "a screen claims nothing"),
    ):
        assert call(place, *words) == 2
        assert why in capsys.readouterr().err
    assert sorted(path for path in place.rglob("*") if path.is_file()) == before

    assert call(place, "confirm", screen, "--arm", "hot", "--seeds", "5") == 0
    made = report(place, "ideas-confirm-hot")
    assert made["study"]["seeds"] == [5, 6, 7, 8, 9]
    assert made["study"]["reads"] == "held_out"
    assert made["study"]["alpha"] == level(0.05, 1, 0)
    assert "1st confirmation on this baseline, tested at 0.022" in made["comparisons"][0]["sentence"]
    assert made["comparisons"][0]["sentence"].endswith(": confirmed.")
    said = json.loads((place / "reports" / "ideas-confirm-hot" / "verdict.json").read_text())
    assert said["next"].startswith("Confirmed on fresh seeds")
    runs = {run["run_id"] for run in made["runs"]}
    assert not runs & {run["run_id"] for run in report(place, "ideas")["runs"]}, "both arms are fresh"

    ledger = (place / "runs" / "ledger.jsonl").read_bytes()
    assert call(place, "confirm", screen, "--arm", "hot", "--seeds", "5") == 0
    assert (place / "runs" / "ledger.jsonl").read_bytes() == ledger, "the same command goes on, and spends nothing"
    assert call(place, "confirm", screen, "--arm", "hot", "--seeds", "6") == 2
    assert "--name NAME" in capsys.readouterr().err

    abandoned = write(place, shards, "abandoned", {"wd": {"optim": {"weight_decay": 0.0}}})
    register(plan(outline(load(abandoned, store=place / "runs"))), place / "runs")
    own = write(place, shards, "own", {"clip": {"optim": {"grad_clip": 0.5}}})
    assert call(place, "plan", str(own)) == 0
    third = level(0.05, 3, 1)
    assert f"would be confirmation 3 of chain {chains(place, capsys)[0]['chain']} (1 before it confirmed)" in plan_of(
        place, own, capsys
    )
    assert call(place, "ablate", str(own)) == 0
    (c,) = report(place, "own")["comparisons"]
    assert (
        f"In its chain: the 3rd confirmation on this baseline, tested at {third:.2g}: not confirmed." in c["sentence"]
    )

    (chain,) = chains(place, capsys)
    told = [(each["study"], each["stage"], each["place"], each["level"]) for each in chain["studies"]]
    assert told == [
        ("ideas", "screen", None, None),
        ("ideas-confirm-hot", "confirmation", 1, level(0.05, 1, 0)),
        ("abandoned", "confirmation", 2, level(0.05, 2, 1)),
        ("own", "confirmation", 3, third),
    ]
    assert call(place, "ledger", "chains") == 0
    text = capsys.readouterr().out
    assert "candidates: hot" in text
    assert "confirmed: hot" in text
    assert "nothing reported: abandoned, or not done" in text
    assert call(place, "ledger", "verify") == 0

    other = write(place, shards, "other", {"clip": {"optim": {"grad_clip": 0.5}}}, test={**TEST, "alpha": 0.1})
    assert call(place, "ablate", str(other)) == 2
    assert "test.alpha: is 0.1, but 0.05 in the chain" in capsys.readouterr().err

    assert call(place, "verify", str(place / "reports" / "own" / "report.json"), "--seeds", "5") in (0, 1)
    text = capsys.readouterr().out
    assert "this is confirmation 4 of its chain" in text
    assert "In its chain: the 4th confirmation" in text
    assert chains(place, capsys)[0]["studies"][-1]["study"] == "own-verify-5"


def plan_of(place: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert call(place, "plan", str(study)) == 0
    return capsys.readouterr().out


def test_a_screen_made_elsewhere_is_confirmed_once_its_ledger_is_here(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = str(place / "reports" / "ideas" / "report.json")
    assert call(tmp_path, "confirm", screen, "--arm", "hot", "--seeds", "5") == 2
    assert "coregpt ledger merge" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()
    assert call(tmp_path, "ledger", "merge", str(place / "runs")) == 0
    before = chains(tmp_path, capsys)[0]["studies"]
    assert all(each["ledger"] for each in before)
    assert call(tmp_path, "confirm", screen, "--arm", "hot", "--seeds", "5", "--alpha", "0.05") == 0
    spent = [each for each in before if each["stage"] == "confirmation"]
    mine = chains(tmp_path, capsys)[0]["studies"][-1]
    assert (mine["ledger"], mine["place"]) == ("", len(spent) + 1)
    used = {run["seed"] for run in report(place, "ideas")["runs"]}
    assert not used & set(report(tmp_path, "ideas-confirm-hot")["study"]["seeds"])
    assert call(tmp_path, "ledger", "verify") == 0


def test_what_was_tried_is_found_by_technique_options_and_arm(
    lab: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made: Lab = lab("caps", arms={"plain": {}, "cap5": {"plugins": {"softcap": {"cap": 5}}}}, test=TEST)
    register(plan(outline(load(made.study))), made.runs)

    def find(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["ledger", "find", *words, "--runs", str(made.runs)])
        caught = capsys.readouterr()
        return code, caught.out + caught.err

    code, text = find("softcap")
    assert code == 0
    assert "cap5" in text
    assert "as now" in text
    assert "none yet" in text
    assert find("softcap", "--options", "{cap: 5}")[0] == 0
    assert find("softcap", "--options", "{cap: 6}") == (1, "nothing like that is on record\n")
    assert find("--arm", "cap*")[0] == 0
    assert find("rope")[0] == 1
    assert find()[0] == 2
    copy = tmp_path / "called_otherwise.py"
    copy.write_text((Path(__file__).parents[2] / "plugins" / "head" / "softcap.py").read_text())
    code, text = find(str(copy))
    assert code == 0, "the same code under another name"
    assert "as now" in text
    code, text = find("softcap", "--json")
    assert json.loads(text)[0]["plugins"]["softcap"]["cap"] == 5


def test_the_written_study_says_what_was_declared_and_found(place: Path) -> None:
    found = list((place / "reports").glob("ideas-confirm-hot/*.yaml"))
    if not found:
        pytest.skip("made by the first test")
    said = yaml.safe_load(found[0].read_text())
    assert said["arms"] == {"plain": {}, "hot": HOT}
    assert said["confirms"]["study"] == "ideas"
    assert said["seeds"] == 5
