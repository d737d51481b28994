"""Where a draft is written, and what is refused before anything is."""

from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.authoring.draft import class_name, write
from coregpt.lab.study.registry import Catalogue

CATALOGUE = Catalogue()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What is needed of a checkout to be known as one."""
    (tmp_path / "coregpt" / "contract").mkdir(parents=True)
    (tmp_path / "coregpt" / "contract" / "hookspecs.py").touch()
    (tmp_path / "plugins").mkdir()
    return tmp_path


def test_outside_a_checkout_three_files_lie_beside_each_other(tmp_path: Path) -> None:
    written = write("head_gain", "make_attend", tmp_path, CATALOGUE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head_gain.py", "head_gain.yaml", "test_head_gain.py"]
    assert "class HeadGain(Plugin):" in written.plugin.read_text()
    assert "build(head_gain=" in written.test.read_text()
    assert 'plugin_files: ["head_gain.py"]' in written.study.read_text()
    assert "draft" not in (written.plugin.read_text() + written.test.read_text()).lower()


def test_in_a_checkout_each_file_goes_where_its_kind_lives(checkout: Path) -> None:
    written = write("row_gain", "make_norm", checkout / "plugins", CATALOGUE)
    assert written.plugin == checkout / "plugins" / "norm" / "row_gain.py"
    assert written.test == checkout / "tests" / "plugins" / "norm" / "test_row_gain.py"
    assert (checkout / "plugins" / "norm" / "__init__.py").read_text() == '"""How are vectors kept at one size?"""\n'
    assert (checkout / "tests" / "plugins" / "norm" / "__init__.py").read_text() == ""
    listed = written.study.parent / written.study.read_text().partition('plugin_files: ["')[2].partition('"')[0]
    assert listed.resolve() == written.plugin, "techniques of this checkout are not those that can be named"


def test_a_folder_that_is_there_keeps_its_question(checkout: Path) -> None:
    (checkout / "plugins" / "norm").mkdir()
    (checkout / "plugins" / "norm" / "__init__.py").write_text('"""Mine."""')
    assert [path.parent.parent.name for path in write("row_gain", "make_norm", checkout, CATALOGUE).also] == ["plugins"]
    assert (checkout / "plugins" / "norm" / "__init__.py").read_text() == '"""Mine."""'


@pytest.mark.parametrize("there", ["head_gain.py", "test_head_gain.py", "head_gain.yaml"])
def test_nothing_is_overwritten(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match=rf"{there} is there already; nothing was written"):
        write("head_gain", "make_attend", tmp_path, CATALOGUE)
    assert [path.name for path in tmp_path.iterdir()] == [there]


@pytest.mark.parametrize(
    ("name", "hook", "said"),
    [
        ("gain", "make_attent", "no hook 'make_attent'; did you mean 'make_attend'"),
        ("gain", "zzz", "no hook 'zzz'; there are: make_attention, "),
        ("Gain", "make_attend", "a Python name in small letters"),
        ("head-gain", "make_attend", "a Python name in small letters"),
        ("class", "make_attend", "a Python name in small letters"),
        ("_gain", "make_attend", "a Python name in small letters"),
        ("softcap", "make_attend", "there is a technique 'softcap' already: /"),
        ("shape", "make_attend", "a word of the fixture"),
        ("random", "make_attend", "the name of a Python module"),
    ],
)
def test_a_wrong_word_is_told(name: str, hook: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        write(name, hook, tmp_path, CATALOGUE)
    assert not list(tmp_path.iterdir())


def test_words_of_a_name_become_a_class() -> None:
    assert class_name("value_gate_2") == "ValueGate2"
