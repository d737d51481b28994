"""Which Python a command runs in, with which packages."""

import sys
from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.command.interpreter import Interpreter, environment, first_word, found, interpreter


def test_packages_are_what_lies_beside_the_interpreter_now(tmp_path: Path) -> None:
    python = Interpreter("python", "3.12.1", (str(tmp_path), str(tmp_path / "nowhere")))
    assert python.packages() == {}
    for name in ("torch-2.12.0.dist-info", "My_Pack.age-1.0.dist-info", "old-0.1-py3.12.egg-info", "torch", "x.py"):
        (tmp_path / name).mkdir()
    assert python.packages() == {"my-pack-age": "1.0", "old": "0.1", "torch": "2.12.0"}


def test_the_interpreter_of_a_command_is_found() -> None:
    own = interpreter(sys.executable, environment({}))
    assert own is not None
    assert own.version == ".".join(map(str, sys.version_info[:3]))
    assert "pytest" in own.packages()
    beside = interpreter(str(Path(sys.executable).with_name("torchrun")), environment({}))
    assert beside is not None
    assert beside.version == own.version


@pytest.mark.parametrize(
    ("command", "word"),
    [("python a.py", "python"), ("A=1 B='2 3' torchrun x", "torchrun"), ("./run.sh --x", "./run.sh")],
)
def test_the_first_word_is_the_program(command: str, word: str) -> None:
    assert first_word(command) == word


def test_a_command_without_a_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="calls no program"):
        first_word("A=1")
    (tmp_path / "run.sh").write_text("")
    with pytest.raises(ConfigError, match="may not be executed"):
        found("./run.sh", tmp_path, {})
    assert found("cd sub && make", tmp_path, {}) == ""


def test_a_program_finds_our_environment_without_what_is_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "TORCHELASTIC_RUN_ID", "PYTHONSAFEPATH", "MINE"):
        monkeypatch.setenv(name, "1")
    made = environment({"OWN": "2"})
    assert (made["MINE"], made["OWN"]) == ("1", "2")
    assert not {"RANK", "TORCHELASTIC_RUN_ID", "PYTHONSAFEPATH"} & made.keys()
