"""Techniques from elsewhere are put before the laws before they train: once for each version of their code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.laws import foreign
from coregpt.lab.study.registry import Catalogue
from tests.lab.conftest import Lab
from tests.lab.judging.cheats import HEAD, cheat

GOOD = (
    HEAD.format(does="Nothing.")
    + '''
class Good(Plugin):
    """Nothing."""
'''
)
BAD_OPTION = (
    HEAD.format(does="Refuses.")
    + """
class Picky(Plugin):
    width: int = 3

    @hookimpl
    def make_activation(self, at):
        raise ValueError("no width of 32 is taken")
"""
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(foreign, "cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "laws"


def study_of(lab: Callable[..., Lab], folder: Path, name: str, text: str) -> Lab:
    (folder / f"{name}.py").write_text(text)
    return lab(arms={"gelu": {}, name: {"plugins": {name: {}}}}, plugin_files=[f"{name}.py"])


def test_a_study_of_a_cheat_is_refused_before_anything_is_written(
    lab: Callable[..., Lab], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = study_of(lab, tmp_path, "cheat", cheat("more steps"))
    before = sorted(path.name for path in here.folder.iterdir())
    for _ in range(2):
        assert main(here.command("--no-mlflow")) == 2
        said = capsys.readouterr().err
        assert f"{here.study}:" in said
        assert "cheat breaks a law (trains on its batch alone): the model was given" in said
    assert sorted(path.name for path in here.folder.iterdir() if path.name != "cache") == before


def test_code_is_tested_once_and_again_when_it_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = tmp_path / "good.py", foreign._found
    asked: list[str] = []

    def counted(catalogue: Catalogue, name: str, options: dict[str, object]) -> foreign.Verdict:
        asked.append(name)
        return found(catalogue, name, options)

    monkeypatch.setattr(foreign, "_found", counted)
    path.write_text(GOOD)
    for text in (GOOD, GOOD, GOOD + "# a remark\n", GOOD + "TWICE = 2\n"):
        path.write_text(text)
        assert foreign.verdict(Catalogue([path]), "good", {}, print) == foreign.Verdict()
    assert len(asked) == len(list(cache.iterdir())) == 2
    next(cache.iterdir()).write_text("{")
    assert foreign.verdict(Catalogue([path]), "good", {}, print) == foreign.Verdict()


def test_what_the_tiny_model_does_not_go_with_is_said(tmp_path: Path) -> None:
    path = tmp_path / "picky.py"
    path.write_text(BAD_OPTION)
    found = foreign.verdict(Catalogue([path]), "picky", {}, print)
    assert found.broken == ()
    assert "no width of 32 is taken" in found.untested


def test_code_that_ends_its_process_is_said_and_not_remembered(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "good.py"
    path.write_text(GOOD + "\nimport os\n\nif 'laws' in ' '.join(sys.orig_argv + sys.argv):\n    os._exit(0)\n")
    found = foreign.verdict(Catalogue([path]), "good", {}, print)
    assert (found.broken, found.untested) == ((), foreign.TORN)
    assert not cache.exists()
