"""Techniques of other people's packages: found, told apart, and unable to harm those who do not name them."""

import importlib
import importlib.metadata
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError, PluginError
from coregpt.lab.study.identity import plugin_digests, source_digest
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
            for name, text in {"__init__": "", **modules}.items():
                path = tmp_path / package / f"{name}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text))
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
    told = capsys.readouterr().err
    assert "plugin 'bad_one' (" in told
    assert "bad_one.py:" in told
    assert "cannot be imported" in told
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


def test_an_edit_of_a_package_that_is_executed_around_it_changes_the_technique(offer: Offer, tmp_path: Path) -> None:
    offer("s4_around", **{"mlp/__init__": "", "mlp/ours": PLUGIN.format(body="width: int = 1"), "parts": "A = 1"})
    outer, inner = (tmp_path / "s4_around" / name for name in ("__init__.py", "mlp/__init__.py"))
    digests = []
    for path, text in (
        (outer, '"""What it is."""\n'),
        (inner, '"""What it is, again."""\n'),
        (inner, '"""What it is."""\nimport math\n\nmath.pi = 3\n'),
        (outer, "from s4_around.parts import A\n"),
        (tmp_path / "s4_around" / "parts.py", "A = 2\n"),
    ):
        path.write_text(text)
        digests.append(plugin_digests(Catalogue(), ["ours"])["ours"])
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


OWN = PLUGIN.format(body="width: int = 1")


def test_techniques_are_found_in_folders_and_imported_only_when_named(offer: Offer, tmp_path: Path) -> None:
    offer(
        "s4_nested",
        **{
            "flat": OWN,
            "mlp/__init__": "",
            "mlp/gated": OWN,
            "mlp/deep/__init__": "",
            "mlp/deep/inner": OWN,
            "mlp/bad": "raise SystemExit(0)",
            "mlp/_part": OWN,
            "_draft": OWN,
            "_shared/__init__": "",
            "_shared/tools": OWN,
            "mlp/.hidden/copy": OWN,
        },
    )
    catalogue = Catalogue()
    theirs = {name for name, found in catalogue.found.items() if found[0].package == "s4_nested"}
    assert theirs == {"flat", "gated", "inner", "bad"}
    assert not [module for module in sys.modules if module.startswith("s4_nested")]
    for name, folder in (("flat", ""), ("gated", "mlp"), ("inner", "mlp.deep")):
        assert catalogue.locate(name).folder == folder
        assert catalogue.source(name) == tmp_path / "s4_nested" / folder.replace(".", "/") / f"{name}.py"
        assert catalogue.cls(f"s4_nested:{name}").__module__ == catalogue.locate(name).module
    assert "s4_nested.mlp.bad" not in sys.modules
    assert catalogue.canonical({"plugins": {"inner": {"width": 2}}}) == {"plugins": {"s4_nested:inner": {"width": 2}}}


def test_two_files_of_one_name_in_a_package_are_an_error_that_names_both(
    offer: Offer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer("s4_twice", **{"mlp/__init__": "", "mlp/ours": OWN, "ours": OWN, "other": OWN})
    for name in ("ours", "s4_twice:ours"):
        assert main(["plugins", "show", name]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"coregpt: error: plugin '{name}' is two files: ")
        assert str(tmp_path / "s4_twice" / "ours.py") in error
        assert str(tmp_path / "s4_twice" / "mlp" / "ours.py") in error
    assert Catalogue().cls("other").__name__ == "Own"
    assert main(["plugins", "list"]) == 0
    assert re.search(r"^  ours +\(broken: plugin 'ours' is two files", capsys.readouterr().out, flags=re.M)


def test_two_plugin_files_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    files = [tmp_path / folder / "ours.py" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text(OWN)
    with pytest.raises(PluginError, match=f"{files[0]} and {files[1]}"):
        Catalogue(files).cls("ours")
    assert Catalogue(files[:1] * 2).source("ours") == files[0]


def test_a_name_in_folders_of_two_packages_is_told_apart_by_the_package(offer: Offer) -> None:
    offer("s4_third", **{"mlp/__init__": "", "mlp/ours": OWN})
    offer("s4_fourth", **{"norm/__init__": "", "norm/ours": OWN})
    with pytest.raises(PluginError, match="write 's4_fourth:ours' or 's4_third:ours'"):
        Catalogue().cls("ours")
    assert Catalogue().cls("s4_third:ours").__module__ == "s4_third.mlp.ours"


def test_a_folder_with_an_entry_point_of_its_own_offers_its_techniques_once(offer: Offer) -> None:
    offer("s4_whole", **{"outer": OWN, "mlp/__init__": "", "mlp/ours": OWN, "mlpx/__init__": "", "mlpx/more": OWN})
    offer("s4_part", "s4_whole.mlp")
    catalogue = Catalogue()
    assert catalogue.locate("ours").package == "s4_whole.mlp"
    assert catalogue.locate("outer").package == catalogue.locate("more").package == "s4_whole"
    assert catalogue.cls("ours") is catalogue.cls("s4_whole.mlp:ours")


@pytest.mark.parametrize(
    "use",
    [
        "from .._shared import tools",
        "from .._shared.tools import A",
        "from {package}._shared.tools import A",
        "import {package}._shared.tools",
        "from .beside import A",
    ],
)
def test_an_edit_of_a_shared_helper_changes_the_techniques_that_use_it(
    offer: Offer, tmp_path: Path, use: str, request: pytest.FixtureRequest
) -> None:
    package = f"s4_shares{request.node.callspec.indices['use']}"
    offer(
        package,
        **{
            "_shared/__init__": "",
            "_shared/tools": "A = 1",
            "_shared/unused": "A = 1",
            "mlp/__init__": "",
            "mlp/beside": "from .._shared.tools import A",
            "mlp/ours": use.format(package=package) + "\n" + OWN,
            "mlp/alone": OWN,
        },
    )

    def digests() -> dict[str, str]:
        return plugin_digests(Catalogue(), ["ours", "alone"])

    first = digests()
    (tmp_path / package / "_shared" / "unused.py").write_text("A = 2")
    assert digests() == first
    (tmp_path / package / "_shared" / "tools.py").write_text("A = 2")
    assert digests()["ours"] != first["ours"]
    assert digests()["alone"] == first["alone"] == source_digest(OWN)
