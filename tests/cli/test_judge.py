"""`coregpt judge` and `placebo` on ordinary arms: every verdict, its code, its object and its line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from coregpt.cli import main
from coregpt.cli.studies.judged import CODES, Judgement, Seen
from coregpt.lab.records.chains import Chains
from coregpt.lab.records.ledger import Ledger
from coregpt.stats.lond import level
from tests.lab.conftest import Lab

ARMS = {"slow": {"optim": {"lr": 1e-6}}, "gelu": {}, "slower": {"optim": {"lr": 1e-9}}, "again": {}}
Judge = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def study(lab: Callable[..., Lab]) -> Lab:
    return lab(seeds=5, arms={name: ARMS[name] for name in ("slow", "gelu", "slower")}, test={"baseline": "slow"})


@pytest.fixture
def judge(study: Lab, capsys: pytest.CaptureFixture[str]) -> Judge:
    def call(candidate: str, *more: str, baseline: str = "slow") -> tuple[int, dict[str, Any]]:
        words = ["judge", "--study", str(study.study), "--baseline", baseline, "--candidate", candidate]
        log = ["--log", str(study.folder / "log.tsv"), "--runs", str(study.runs), "--no-mlflow", "--json"]
        code = main([*words, *log, *more])
        said = capsys.readouterr().out
        assert len(said.encode()) <= 2000
        data = json.loads(said)
        return code, data["results"][0] if "results" in data else data["error"]

    return call


def started(study: Lab) -> int:
    return sum(entry.event == "started" for entry in Ledger.of(study.runs).read())


def test_from_a_candidate_to_a_chain_that_goes_on(study: Lab, judge: Judge) -> None:
    code, said = judge("gelu", "--budget", "1s")
    assert (code, said["verdict"]) == (13, "out of budget")
    code, said = judge("gelu")
    assert (code, said["verdict"], said["screen"]["seeds"], said["confirmation"]) == (15, "candidate", 5, None)
    before = started(study)
    code, said = judge("gelu")
    assert (code, said["duplicate"], started(study)) == (15, True, before)
    code, said = judge("gelu", "--confirm", "--budget", "1s")
    assert (code, started(study)) == (15, before)
    assert "its confirmation on 10 seeds takes about" in said["missing"]
    code, said = judge("gelu", "--confirm")
    assert (code, said["verdict"], said["confirmation"]["seeds"]) == (10, "confirmed", 10)
    assert said["confirmation"]["level"] == pytest.approx(0.021874, abs=1e-5)
    chains = Chains(Ledger.of(study.runs).read())
    screen, fresh = chains.of(said["screen"]["study"]), chains.of(said["confirmation"]["study"])
    assert screen is not None
    assert fresh is not None
    assert not set(screen.seeds) & set(fresh.seeds)
    done = started(study)
    code, said = judge("gelu", "--confirm")
    assert (code, said["verdict"], said["duplicate"], started(study)) == (10, "confirmed", True, done)
    code, next_ = judge("slower", baseline="gelu")
    assert (code, next_["verdict"], next_["screen"]["seeds"]) == (13, "no sign", 2)
    assert next_["chain"] == said["chain"]
    file = Path(next_["report"]).parent / f"{next_['screen']['study']}.yaml"
    assert "follows:" in file.read_text()
    lines = [line.split("\t") for line in (study.folder / "log.tsv").read_text().splitlines()]
    assert {len(line) for line in lines} == {9}
    assert [line[1] for line in lines][-1] == "no sign"


def test_what_was_tried_before_the_record_began_counts_and_is_told(study: Lab, judge: Judge) -> None:
    code, said = judge("gelu")
    assert (code, said["verdict"]) == (15, "candidate")
    text = study.study.read_text()
    study.study.write_text(f"{text}earlier: {{claims: 2, why: Two nights without a gate.}}\n")
    code, said = judge("gelu", "--confirm")
    assert said["duplicate"] is False, "its screen stays as it was, and its confirmation is another study"
    assert (said["confirmation"]["place"], said["confirmation"]["level"]) == (3, pytest.approx(level(0.05, 3, 0), 1e-5))
    fresh = study.runs / "reports" / said["confirmation"]["study"]
    assert yaml.safe_load((fresh / f"{fresh.name}.yaml").read_text())["earlier"]["claims"] == 2
    page = (fresh / "report.md").read_text()
    assert "2 of them are in no ledger, and the study file says why: Two nights without a gate." in page
    code, said = judge("slower")
    screen = study.runs / "reports" / said["screen"]["study"] / "report.md"
    assert "Two nights without a gate." in screen.read_text()
    study.study.write_text(f"{text}earlier: {{claims: 2}}\n")
    code, said = judge("slower")
    assert (code, "earlier.why" in str(said)) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gelo",), "'gelo' is no arm"),
        (("slow",), "coregpt placebo"),
        (("gelu", "--budget", "0m"), "expected a time such as 90s, 30m or 1h30m"),
    ],
)
def test_bad_input_is_told_before_anything_is_there(
    study: Lab, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    candidate, *more = words
    try:
        code = main(["judge", "--study", str(study.study), "--baseline", "slow", "--candidate", candidate, *more])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert said in capsys.readouterr().err
    assert not study.runs.exists()


def test_what_asks_for_more_than_a_screen_is_refused(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    made = lab(
        seeds=6, arms={"slow": ARMS["slow"], "gelu": {}}, test={"baseline": "slow", "anytime": True, "alpha": 0.2}
    )
    assert main(["judge", "--study", str(made.study), "--baseline", "slow", "--candidate", "gelu"]) == 2
    assert "test.anytime: coregpt judge screens one arm as it is written; remove 'anytime'" in capsys.readouterr().err


def test_an_object_is_short_however_long_the_log() -> None:
    seen = Seen("judge-0123456789", 3, 6, cause="x" * 900, unit="nats per byte")
    log = tuple(f"{i} {'y' * 300}" for i in range(30))
    made = Judgement("broken", "main 0123456789", "try 0123456789", 0.0, screen=seen, log=log)
    whole = {"exit_code": 14, "results": [{"kind": "judgement", **made.data()}]}
    assert len(json.dumps(whole, indent=1).encode()) < 2000
    assert made.data()["log"][-1].startswith("29")
    assert made.line().split("\t")[0] == "1970-01-01T00:00:00Z"
    assert set(CODES.values()) == {10, 13, 14, 15}


def test_a_placebo_is_made_once_and_told_in_reports(study: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["placebo", str(study.study), "--runs", str(study.runs), "--draws", "40", "--json"]
    assert main(words) == 0
    (said,) = json.loads(capsys.readouterr().out)["results"]
    assert (said["kind"], said["baseline"], said["seeds"], said["runs"], said["draws"]) == (
        "placebo",
        "slow",
        5,
        10,
        40,
    )
    low, high = said["interval"]
    assert low <= said["called"] / 40 <= high
    chains = Chains(Ledger.of(study.runs).read())
    assert not chains.registrations, "it asks nothing of a technique, so it spends nothing"
    runs = started(study)
    assert runs == 10
    assert main([*words, "--baseline", "slow"]) == 0
    assert started(study) == runs
    assert main(study.command("--no-mlflow")) == 0
    for report in (study.runs / "reports" / "tiny-placebo", study.reports / "tiny"):
        notes = json.loads((report / "report.json").read_text())["notes"]
        assert [note for note in notes if note.startswith("Placebo: of 40 studies of slow against itself")]
