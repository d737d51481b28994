"""What a program hears of a command."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from tests.lab.conftest import Lab

Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Exit code, standard output as JSON (with --events one for each line), standard error."""

    def made(*arguments: str) -> tuple[int, Any, str]:
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        said = capsys.readouterr()
        lines = [json.loads(line) for line in said.out.splitlines()] if "--events" in arguments else None
        return code, lines or json.loads(said.out), said.err

    return made


def test_ablate_ends_with_one_object_and_tells_people_elsewhere(executed: Lab, tmp_path: Path, call: Call) -> None:
    command = [*executed.command("--json", "--no-mlflow"), "--reports", str(tmp_path)]
    code, said, told = call(*command)
    assert (code, said["exit_code"]) == (0, 0)
    (found,) = said["results"]
    assert (found["kind"], found["study"], found["verdict"]) == ("verdict", "tiny", None)
    assert f"{tmp_path}/tiny/verdict.json" in found["files"]
    written = json.loads((tmp_path / "tiny" / "verdict.json").read_text())
    assert {key: found[key] for key in written} == written
    assert "nothing to train" in told


def test_the_exit_code_says_the_verdict_where_asked(executed: Lab, tmp_path: Path) -> None:
    command = [*executed.command("--no-mlflow"), "--reports", str(tmp_path)]
    assert main([*command, "--exit-verdict"]) == 13  # a pilot
    assert main(command) == 0
    assert main([*command[:1], str(tmp_path / "none.yaml"), "--exit-verdict"]) == 2


def test_events_are_the_ledgers_then_the_verdict_then_the_end(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(seeds=2, base={**_small(), "tokens": 64 * 20, "evals": 2})
    code = main(here.command("--events", "--no-mlflow"))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [event["event"] for event in events]
    assert code == 0
    assert names[:2] == ["chained", "declared"]
    assert (names.count("started"), names.count("ended")) == (4, 4)
    assert sorted(names[-3:]) == ["concluded", "end", "verdict"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["time"]) for event in events)
    started = next(event for event in events if event["event"] == "started")
    assert {"run", "arm", "seed", "study", "n"} <= started.keys()


def _small() -> dict[str, Any]:
    from tests.lab.conftest import STUDY

    small: dict[str, Any] = STUDY["base"]
    return small


@pytest.mark.parametrize("flag", ["--json", "--events"])
def test_a_mistake_is_data_too(lab: Callable[..., Lab], call: Call, flag: str) -> None:
    here = lab()
    text = here.study.read_text()
    here.study.write_text(text.replace("eval_tokens", "eval_tokns"))
    line = 1 + next(i for i, each in enumerate(text.split("\n")) if "eval_tokens" in each)
    code, said, told = call(*here.command(flag))
    if flag == "--events":
        said, end = said
        assert (said["event"], end["event"], end["exit_code"]) == ("error", "end", 2)
    assert (code, said["exit_code"]) == (2, 2)
    (problem,) = (said["error"] if flag == "--json" else said)["problems"]
    assert (problem["file"], problem["line"], problem["key"]) == (str(here.study), line, "base.eval_tokns")
    assert problem["nearest"] == "eval_tokens"
    assert told.startswith("coregpt: error: ")


@pytest.mark.parametrize("flag", ["--json", "--events"])
def test_so_is_an_interruption_before_anything_trains(
    lab: Callable[..., Lab], call: Call, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "read_text", pressed)
    code, said, told = call("ablate", "s.yaml", flag)
    last = said[-1] if flag == "--events" else said
    assert (code, last["exit_code"]) == (130, 130)
    assert told == "coregpt: interrupted\n"
    (error,) = [each for each in said if each["event"] == "error"] if flag == "--events" else [said["error"]]
    assert (error["message"], error["problems"]) == ("interrupted", [])


def test_what_only_the_data_can_tell_is_a_mistake_with_its_line(lab: Callable[..., Lab], call: Call) -> None:
    here = lab()
    here.study.write_text(here.study.read_text().replace(str(here.data), "./nothing"))
    code, said, _ = call("plan", str(here.study), "--json", "--runs", str(here.runs))
    (problem,) = said["error"]["problems"]
    assert code == said["exit_code"] == 2
    assert (problem["file"], problem["key"]) == (str(here.study), "base.data.source")
    assert here.study.read_text().splitlines()[problem["line"] - 1].strip() == "source: ./nothing"
    assert problem["expected"] == "one of pydocs, fineweb10B, or a folder of .bin shards"


def test_so_is_a_mistake_in_the_words_of_a_command(call: Call) -> None:
    code, said, _ = call("ablate", "--json")
    assert code == said["exit_code"] == 2
    assert "STUDY" in said["error"]["message"]


def test_status_of_all_and_of_one(executed: Lab, call: Call) -> None:
    code, said, told = call("status", "--json", "--runs", str(executed.runs))
    assert code == 0
    assert [(each["study"], each["states"]) for each in said["results"]] == [("tiny", {"done": 4})]
    assert "tiny" in told
    _, said, _ = call("status", "tiny", "--json", "--runs", str(executed.runs))
    (study,) = said["results"]
    assert {(run["arm"], run["seed"], run["state"]) for run in study["runs"]} == {
        (arm, seed, "done") for arm in ("gelu", "relu2") for seed in (0, 1)
    }


def test_techniques_and_one_of_them(call: Call) -> None:
    _, said, _ = call("plugins", "list", "--json")
    assert {each["name"] for each in said["results"] if each["kind"] == "technique"} >= {"rope", "muon"}
    _, said, _ = call("plugins", "show", "softcap", "--json")
    (found,) = said["results"]
    assert "cap" in found["options"]
    assert found["hooks"] == ["add_logit_transforms"]


def test_laws_one_by_one(call: Call) -> None:
    code, said, _ = call("plugins", "check", "softcap", "--fast", "--json")
    (found,) = said["results"]
    assert (code, found["technique"], found["hold"]) == (0, "softcap", True)
    assert {each["outcome"] for each in found["laws"]} <= {"ok", "note"}
    assert len(found["laws"]) > 5


def test_a_terminal_without_utf8_gets_whole_json(executed: Lab) -> None:
    import os
    import subprocess
    import sys

    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "coregpt.cli", "plugins", "show", "softcap", "--json"]
    done = subprocess.run(command, env=plain, capture_output=True, check=True)
    json.loads(done.stdout.decode("ascii"))
