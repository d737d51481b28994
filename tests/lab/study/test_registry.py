"""Techniques of other people's packages: found, told apart, and unable to harm those who do not name them."""

import importlib
import importlib.metadata
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError, PluginError
from coregpt.lab.study.identity import plugin_digests
from coregpt.lab.study.registry import GROUP, Catalogue

CARD = '"""A technique.\n\nSource: nobody.\n"""\n'
PLUGIN = CARD + "from coregpt.api import Plugin\n\n\nclass Own(Plugin):\n    {body}\n"
Offer = Callable[..., None]


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offer:
    """`offer("pkg", name="source")` installs a package with these modules beside the built-in techniques."""
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [e for e in importlib.metadata.entry_points(group=GROUP) if e.value == "coregpt_plugins"]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)

    def install(package: str, entry: str = "", **modules: str) -> None:
        if modules:
            (tmp_path / package).mkdir()
            for name, text in {"__init__": "", **modules}.items():
                (tmp_path / package / f"{name}.py").write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        entries.append(importlib.metadata.EntryPoint(package, entry or package, GROUP))

    return install


@pytest.mark.parametrize(
    ("entry", "reason"), [("s4_gone", "cannot be found"), ("s4_torn.sub", "cannot be imported: ModuleNotFoundError")]
)
def test_a_broken_package_breaks_only_those_who_name_its_techniques(
    offer: Offer, capsys: pytest.CaptureFixture[str], entry: str, reason: str
) -> None:
    if entry == "s4_torn.sub":
        offer("s4_torn", entry, __init__="import nowhere_to_be_found\n", sub="")
    else:
        offer(entry)
    catalogue = Catalogue()
    assert catalogue.cls("rope").__name__ == "Rope"
    with pytest.raises(ConfigError, match=f"unknown plugin 'theirs'.*{reason}"):
        catalogue.locate("theirs")
    assert main(["plugins", "list"]) == 0
    assert reason in capsys.readouterr().out


@pytest.mark.parametrize("text", ["raise SystemExit(0)", "import nowhere_to_be_found", "def f(:"])
def test_a_technique_that_breaks_or_exits_on_import_is_an_error_that_names_it(
    offer: Offer, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    package = f"s4_broken{len(text)}"
    offer(package, bad_one=text)
    assert main(["plugins", "show", "bad_one"]) == 2
    assert f"plugin 'bad_one' ({package}.bad_one) cannot be imported" in capsys.readouterr().err
    assert main(["plugins", "list"]) == 0


def test_one_name_in_two_packages_is_told_apart_by_the_package(offer: Offer) -> None:
    offer("s4_first", ours=PLUGIN.format(body="width: int = 1"))
    offer("s4_second", ours=PLUGIN.format(body="width: int = 2"))
    catalogue = Catalogue()
    with pytest.raises(PluginError, match="write 's4_first:ours' or 's4_second:ours'"):
        catalogue.cls("ours")
    assert catalogue.cls("s4_second:ours").model_fields["width"].default == 2
    with pytest.raises(ConfigError, match="unknown plugin 's4_first:our'; did you mean 'ours'"):
        catalogue.cls("s4_first:our")


def test_relations_between_plugins_hold_for_names_with_a_package(offer: Offer) -> None:
    body = 'after = ("rope",)\n    conflicts = ("relu2",)\n    requires = ("wsd",)'
    offer("s4_related", aaa=PLUGIN.format(body=body))
    catalogue, wsd, rope = Catalogue(), "coregpt_plugins:wsd", "coregpt_plugins:rope"
    made = catalogue.instances({"s4_related:aaa": {}, rope: {}, wsd: {}})
    assert [name for name, _ in made].index(rope) < [name for name, _ in made].index("s4_related:aaa")
    with pytest.raises(PluginError, match="'s4_related:aaa' and 'coregpt_plugins:relu2' conflict"):
        catalogue.instances({"s4_related:aaa": {}, wsd: {}, "coregpt_plugins:relu2": {}})
    with pytest.raises(PluginError, match="needs 'wsd'"):
        catalogue.instances({"s4_related:aaa": {}})


def test_an_edit_of_a_helper_module_changes_the_technique(offer: Offer, tmp_path: Path) -> None:
    use = "from s4_helped import tables\nfrom .maths import deep\n"
    offer("s4_helped", ours=use + PLUGIN.format(body="width: int = 1"), tables="A = 1", other="B = 1")
    maths = tmp_path / "s4_helped" / "maths"
    maths.mkdir()
    (maths / "__init__.py").write_text("from . import deep\n")
    (maths / "deep.py").write_text("C = 1\n")
    digests = []
    for path, text in (
        (None, ""),
        (tmp_path / "s4_helped" / "other.py", "B = 2"),
        (maths / "deep.py", "C = 1  # the same"),
        (maths / "deep.py", "C = 2"),
        (tmp_path / "s4_helped" / "tables.py", "A = 2"),
    ):
        if path is not None:
            path.write_text(text)
        digests.append(plugin_digests(Catalogue(), ["ours"])["ours"])
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests[2:])) == 3
