"""AGENTS.md, followed by a program that has read nothing else."""

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from coregpt.cli import parser
from coregpt.report.verdicts.exit_codes import table
from tests import warm
from tests.lab.conftest import STUDY, write_shards

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "AGENTS.md").read_text()
CODES = (ROOT / "docs/agents.md").read_text()


class Program:
    """Knows a folder, the page's study and the page's commands."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.study = yaml.safe_load(textwrap.dedent(re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)[0]))

    def call(self, command: str) -> tuple[int, Any]:
        """Exit code, and standard output as JSON."""
        words = [sys.executable, "-m", "coregpt.cli", *command.split()[1:]]
        done = warm.run(words, cwd=self.folder)
        return done.returncode, json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    def write(self, **changes: Any) -> None:
        text = yaml.safe_dump({**self.study, **changes}, sort_keys=False)
        (self.folder / "study.yaml").write_text(text)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    made = Program(tmp_path)
    shards = write_shards(tmp_path / "shards")
    base = {**STUDY["base"], "tokens": 64 * 60, "evals": 2, "data": {"source": str(shards)}}
    made.study = {**made.study, "base": base, "seeds": 5}
    return made


def commands() -> dict[str, str]:
    """By their first words, as the page has them."""
    found = [" ".join(text.split()) for text in re.findall(r"`(coregpt [^`]+)`", PAGE)]
    return {text.split()[1]: text for text in found}


def test_the_loop_ends_with_a_verdict(program: Program) -> None:
    said = commands()
    program.write(sedes=3)
    code, mistake = program.call(said["plan"])
    assert code == 2
    (problem,) = mistake["error"]["problems"]
    assert (problem["key"], problem["nearest"]) == ("sedes", "seeds")
    assert (program.folder / "study.yaml").read_text().split("\n")[problem["line"] - 1].startswith("sedes")

    program.write()
    code, (plan,) = program.call(said["plan"])
    assert code == 0
    assert plan["budget"]["fits"]
    assert plan["test"]["detectable"] > 0

    code, end = program.call("coregpt ablate study.yaml --json --exit-verdict")
    (verdict,) = end["results"]
    assert code == end["exit_code"] == verdict["exit_code"]
    assert code in (10, 11, 12, 13, 14)
    assert verdict["next"]
    assert json.loads((program.folder / "runs/reports/study/verdict.json").read_text())["verdict"] == verdict["verdict"]

    code, end = program.call("coregpt status study --json")
    assert (code, end["results"][0]["states"]) == (0, {"done": 10})

    code, _ = program.call(said["verify"])
    assert code in (verdict["exit_code"], 14)


def test_its_commands_and_options_exist() -> None:
    helps = {name: found.format_help() for name, found in parser()._subparsers._group_actions[0].choices.items()}  # type: ignore[union-attr]
    for text in re.findall(r"`(coregpt [^`]+)`", PAGE):
        words = text.split()
        assert words[1] in helps
        for option in (word for word in words if word.startswith("--")):
            assert option in helps[words[1]] or words[1] == "plugins"


def test_the_table_of_exit_codes_is_the_modules() -> None:
    assert table() in CODES
    page = " ".join(PAGE.split())  # a line break inside a sentence is no other sentence
    for code, word in ((10, "better"), (11, "worse"), (12, "equivalent"), (13, "undecided"), (14, "broken")):
        assert f"{code} {word}" in page
