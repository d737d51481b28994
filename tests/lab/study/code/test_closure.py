"""Whatever decides what a technique computes is found, or the technique is refused with file and line."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coregpt.contract.errors import PluginError
from coregpt.lab.study.identity import IMPORTS, frozen_files, plugin_digests, source_digest
from coregpt.lab.study.registry import Catalogue

PLUGIN = '''"""A technique.

Source: none.
"""
{imports}
from coregpt.api import Plugin


class Ours(Plugin):
    def value(self) -> int:
        {inside}
        return VALUE
'''

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("s20_"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("import x", inside="pass", s20_helper="A = 1")`: a plugin file and, beside it, modules; gives the file."""

    def make(imports: str, inside: str = "pass", **modules: str) -> Path:
        for name, text in modules.items():
            file = tmp_path / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        plugin = tmp_path / "ours.py"
        plugin.write_text(PLUGIN.format(imports=imports, inside=inside))
        return plugin

    return make


def digest(plugin: Path) -> str:
    """As a study that names the file finds it."""
    catalogue = Catalogue([plugin])
    catalogue.cls(plugin.stem)
    return plugin_digests(catalogue, [plugin.stem])[plugin.stem]


IN_FUNCTION = "from s20_helper import VALUE"
WAYS = {
    "beside": (IN_FUNCTION, "pass"),
    "in a function": ("", IN_FUNCTION),
    "by a literal name": ("import importlib", "VALUE = importlib.import_module('s20_helper').VALUE"),
    "by a renamed function": (
        "from importlib import import_module as load",
        "VALUE = load(name='s20_helper').VALUE",
    ),
    "by the built-in": ("VALUE = __import__('s20_helper').VALUE", "pass"),
    "if it is there": ("try:\n    from s20_helper import VALUE\nexcept ImportError:\n    VALUE = 0", "pass"),
    "through another": ("from s20_more import VALUE", "pass"),
    "in a package": ("from s20_package.inner import VALUE", "pass"),
    "in a package that passes it on": ("from s20_package import VALUE", "pass"),
    "in a folder without __init__": ("from s20_folder.deep import VALUE", "pass"),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_of_what_a_plugin_file_imports_is_another_technique(write: Write, tmp_path: Path, way: str) -> None:
    plugin = write(
        *WAYS[way],
        s20_helper="VALUE = 1",
        s20_more="from s20_helper import VALUE",
        **{
            "s20_package/__init__": "from .inner import VALUE",
            "s20_package/inner": "from .deeper.most import VALUE",
            "s20_package/deeper/__init__": "",
            "s20_package/deeper/most": "from s20_helper import VALUE",
            "s20_package/unused": "VALUE = 1",
            "s20_folder/deep": "from s20_helper import VALUE",
        },
    )
    first = digest(plugin)
    assert first != source_digest(plugin.read_text())
    (tmp_path / "s20_package" / "unused.py").write_text("VALUE = 2")
    (tmp_path / "s20_helper.py").write_text("VALUE = 1  # a comment")
    assert digest(plugin) == first
    (tmp_path / "s20_helper.py").write_text("VALUE = 22")
    assert digest(plugin) != first


def test_the_file_of_a_package_counts_for_a_module_in_it(write: Write, tmp_path: Path) -> None:
    plugin = write("import s20_package.inner", **{"s20_package/__init__": "A = 1", "s20_package/inner": ""})
    first = digest(plugin)
    (tmp_path / "s20_package" / "__init__.py").write_text("A = 2")
    assert digest(plugin) != first


def test_a_plugin_that_imports_nothing_of_its_own_is_its_file(write: Write) -> None:
    plugin = write("import math\nimport os.path\nimport numpy as np\nimport torch.nn.functional as F\nimport yaml")
    assert digest(plugin) == source_digest(plugin.read_text())


@pytest.mark.parametrize(
    ("imports", "inside", "line", "words"),
    [
        (
            "import importlib",
            "importlib.import_module(f's20_{self}')",
            11,
            r"import_module\(\) is given a name that is",
        ),
        ("", "__import__('s20_' + 'helper')", 11, r"__import__\(\) is given a name that is computed"),
        ("import runpy", "runpy.run_path('x.py')", 11, r"run_path\(\) executes code that cannot be followed"),
        ("", "exec(open('x.py').read())", 11, r"exec\(\) executes code"),
        ("import importlib\nload = importlib.import_module", "load('s20_helper')", 6, "import_module is handed on"),
        ("load = __import__", "load('s20_helper')", 5, "__import__ is handed on"),
        ("import importlib", "getattr(importlib, 'import_module')('s20_helper')", 11, "import_module is handed on"),
        ("import pkgutil", "pkgutil.resolve_name('s20_helper')", 11, r"resolve_name\(\) executes code"),
        ("import builtins", "builtins.exec(open('x.py').read())", 11, r"exec\(\) executes code"),
        ("", "eval(compile(open('x.py').read(), 'x', 'eval'))", 11, r"compile\(\) executes code"),
        ("", "import s20_nowhere", 11, "imports 's20_nowhere', which is not found; put it beside the plugin's file"),
        ("", "import s20_helper.nothing", 11, "imports 's20_helper.nothing', which is not found"),
        ("from coregpt.lab.study import registry", "pass", 5, "a plugin imports from coregpt.api only"),
        ("from coregpt import stats", "pass", 5, "a plugin imports from coregpt.api only"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_line(
    write: Write, imports: str, inside: str, line: int, words: str
) -> None:
    plugin = write(imports, inside, s20_helper="VALUE = 1")
    with pytest.raises(PluginError, match=rf"^plugin 'ours': {plugin}:{line}: .*{words}"):
        digest(plugin)


def test_what_cannot_be_followed_in_a_helper_names_the_helper(write: Write, tmp_path: Path) -> None:
    plugin = write("import s20_helper", s20_helper="import importlib\n\nimportlib.import_module(__name__[:0] + 'os')")
    with pytest.raises(PluginError, match=rf"^plugin 'ours': {tmp_path / 's20_helper.py'}:3: import_module"):
        digest(plugin)


def test_what_is_executed_without_a_name_is_refused(write: Write) -> None:
    hidden = "import importlib\nVALUE = vars(importlib)['import_' + 'module']('s20_helper')"
    with pytest.raises(PluginError, match=r"executes s20_helper .* which it does not import by name"):
        digest(write(hidden, s20_helper="VALUE = 1"))


def test_imports_that_need_not_succeed_may_fail(write: Write) -> None:
    tried = "try:\n    import s20_nowhere\nexcept ImportError:\n    pass"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import s20_types"
    plugin = write(f"{tried}\n{typed}", "import winreg")
    assert digest(plugin) == source_digest(plugin.read_text())


def test_two_files_of_one_name_are_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "s20_helper.py").write_text("VALUE = 1")
    edit = f"import sys\nsys.path.insert(0, {str(tmp_path / 'lib')!r})\nimport s20_helper"
    with pytest.raises(PluginError, match=r"ours.py:7: 's20_helper' may be .*lib/s20_helper.py or .*rename one"):
        digest(write(edit, s20_helper="VALUE = 2"))


def test_two_plugins_may_not_mean_different_files_by_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s20_helper.py").write_text(f"VALUE = '{folder}'")
        (tmp_path / folder / f"ours_{folder}.py").write_text(PLUGIN.format(imports=IN_FUNCTION, inside="pass"))
    catalogue = Catalogue([tmp_path / "a" / "ours_a.py", tmp_path / "b" / "ours_b.py"])
    for name in ("ours_a", "ours_b"):
        catalogue.cls(name)
    with pytest.raises(PluginError, match=r"^plugin 'ours_b': .*'s20_helper' may be .*a/s20_helper.py or .*b/s20_help"):
        plugin_digests(catalogue, ["ours_a", "ours_b"])


def test_another_study_in_this_process_does_not_get_the_modules_of_the_one_before(tmp_path: Path) -> None:
    values = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s20_helper.py").write_text(f"VALUE = '{folder}'")
        plugin = tmp_path / folder / "ours.py"
        plugin.write_text(PLUGIN.format(imports=IN_FUNCTION, inside="pass"))
        values.append(Catalogue([plugin]).cls("ours")().value())  # type: ignore[attr-defined]
    assert values == ["a", "b"]


def install(folder: Path, version: str, editable: bool = False) -> None:
    """`s20_dist` as pip leaves it: its modules and their record, or only the record of where they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    info = folder / f"s20_dist-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: S20_dist\nVersion: {version}\n")
    (info / "top_level.txt").write_text("s20_installed\n")
    (info / "RECORD").write_text("" if editable else "s20_installed/__init__.py,,\n")


def test_an_installed_distribution_counts_by_its_version(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    install(site, "1.0")
    (site / "s20_installed").mkdir()
    (site / "s20_installed" / "__init__.py").write_text("VALUE = 1")
    monkeypatch.syspath_prepend(str(site))
    plugin = write("from s20_installed import VALUE")
    first = digest(plugin)
    assert first != source_digest(plugin.read_text())
    assert Catalogue([plugin]).imports("ours").installed == {"s20-dist": "1.0"}
    (site / "s20_installed" / "__init__.py").write_text("VALUE = 2")
    assert digest(plugin) == first
    install(site, "1.1")
    assert digest(plugin) != first


def test_an_editable_install_counts_by_its_sources(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, source = tmp_path / "site", tmp_path / "checkout" / "s20_installed"
    install(site, "1.0", editable=True)
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("VALUE = 1")
    for folder in (site, source.parent):
        monkeypatch.syspath_prepend(str(folder))
    plugin = write("from s20_installed import VALUE")
    first = digest(plugin)
    (source / "__init__.py").write_text("VALUE = 2")
    assert digest(plugin) != first


def test_what_is_frozen_has_the_same_digest_wherever_it_lies(write: Write, tmp_path: Path) -> None:
    plugin = write(
        "from s20_package.inner import VALUE",
        "import s20_helper",
        s20_helper="",
        **{"s20_package/__init__": "", "s20_package/inner": "from .deep import VALUE", "s20_package/deep": "VALUE = 5"},
    )
    catalogue = Catalogue([plugin])
    catalogue.cls("ours")
    first = plugin_digests(catalogue, ["ours"])
    files = frozen_files(catalogue, ["ours"])
    inner = [f"{IMPORTS}/s20_package/{name}" for name in ("__init__", "deep", "inner")]
    assert sorted(files) == [f"{IMPORTS}/s20_helper", *inner, "ours"]
    run = tmp_path / "run" / "plugins"
    for name, file in files.items():
        copy = run / f"{name}.py"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
        file.unlink()
    frozen = Catalogue([run / "ours.py"], run / IMPORTS)
    assert plugin_digests(frozen, ["ours"]) == first
    assert frozen.cls("ours")().value() == 5  # type: ignore[attr-defined]
