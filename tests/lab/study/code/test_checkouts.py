"""Whoever stands in a checkout that is not used is told so."""

from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.study.code.checkouts import Checkout, elsewhere, folders, where_searched
from coregpt.lab.study.registry import Catalogue

ROOT = Path(__file__).parents[4]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another checkout, as far as one can tell."""
    (tmp_path / "coregpt" / "contract").mkdir(parents=True)
    (tmp_path / "coregpt" / "contract" / "hookspecs.py").touch()
    (tmp_path / "plugins" / "norm").mkdir(parents=True)
    return tmp_path


def test_a_checkout_is_found_from_inside(other: Path) -> None:
    assert Checkout.around(other / "plugins" / "norm") == Checkout(other)
    assert Checkout.around(other.parent) is None


def test_in_the_checkout_that_is_used_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert elsewhere() == ""
    assert where_searched() == "searched: plugins"


def test_another_checkout_is_told_of_program_and_techniques(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(other / "plugins")
    said = elsewhere()
    assert f"this program is {ROOT / 'coregpt'}" in said
    assert f"{other / 'plugins'} is not searched" in said
    assert f"pip install -e {other}" in said


def test_an_unknown_plugin_names_the_folder_searched(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(other)
    with pytest.raises(ConfigError) as told:
        Catalogue().locate("nothing_here")
    assert f"searched: {ROOT / 'plugins'}" in str(told.value)
    assert "is not searched" in str(told.value)


def test_a_package_that_cannot_be_imported_lies_nowhere() -> None:
    assert folders("nothing_of_that_name") == folders("nothing.of.that.name") == []
