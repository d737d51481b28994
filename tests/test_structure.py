"""The shape of the repository, kept by tests and not by good intentions."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from coregpt.cli.tools.plugins import folder_line, hooks
from coregpt.contract.hookspecs import Hooks
from coregpt.contract.plugin import PREFIXES
from coregpt.lab.study.registry import Catalogue, Found

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "coregpt").rglob("*.py"))
PLUGINS = [path for path in sorted((ROOT / "plugins").rglob("*.py")) if path.stem != "__init__"]
TECHNIQUES = [found[0] for found in Catalogue().found.values()]


def test_no_file_holds_several_ideas() -> None:
    # Far above what a file that holds one idea needs. A tight cap was met by cutting off crumbs, files that held what
    # had no room elsewhere; whether a file holds one idea is for its readers, this only stops what nobody would read.
    lines = {path: len(path.read_text().splitlines()) for path in CORE + PLUGINS}
    assert not [path for path, count in lines.items() if count > (250 if path in PLUGINS else 400)]


def test_every_folder_with_code_is_a_package() -> None:
    assert not {path.parent for path in CORE + PLUGINS if not (path.parent / "__init__.py").exists()}


@pytest.mark.parametrize("found", TECHNIQUES, ids=lambda found: found.name)
def test_every_technique_has_a_test(found: Found) -> None:
    assert (ROOT / "tests" / "plugins" / found.folder / f"test_{found.name}.py").exists()


def test_every_technique_is_found_once() -> None:
    techniques = [path for path in PLUGINS if not any(part.startswith("_") for part in path.relative_to(ROOT).parts)]
    assert sorted(path.stem for path in techniques) == Catalogue().names()


def questions() -> dict[str, tuple[str, set[str]]]:
    """Folder: its question and its hooks, from the table in CONTRIBUTING.md."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.M)
    return {folder: (question, set(re.findall(r"`(\w+)`", hooks))) for folder, question, hooks in rows}


def test_every_hook_belongs_to_a_folder() -> None:
    asked = {name for name in vars(Hooks) if name.startswith(PREFIXES)}
    assert set().union(*(hooks for _, hooks in questions().values())) == asked


def test_every_folder_states_its_question() -> None:
    folders = {found.folder: found for found in TECHNIQUES}
    assert {folder: folder_line(found) for folder, found in folders.items()} == {
        folder: question for folder, (question, _) in questions().items() if folder in folders
    }


@pytest.mark.parametrize("found", TECHNIQUES, ids=lambda found: found.name)
def test_every_technique_lives_with_a_question_it_answers(found: Found) -> None:
    answered = set(hooks(Catalogue().cls(found.name)))
    homes = {folder for folder, (_, own) in questions().items() if own & answered}
    assert found.folder in homes or (found.folder == "recipes" and len(homes) >= 3)


def test_core_names_no_technique() -> None:
    names = "|".join(Catalogue().names())
    for path in CORE:
        found = re.findall(rf"""['"]({names})['"]""", path.read_text())
        assert not found, f"{path.relative_to(ROOT)} names {found}"


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_the_engine_imports_no_bookkeeping() -> None:
    loaded = modules_after("import coregpt.engine.training.trainer")
    assert not {"mlflow", "pandas", "yaml", "scipy"} & loaded


def test_help_imports_nothing_heavy() -> None:
    loaded = modules_after("from coregpt.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass")
    assert not {"torch", "numpy", "pydantic", "scipy", "mlflow", "pandas", "yaml"} & loaded


def test_pages_are_made_again_without_torch() -> None:
    assert not {"torch", "mlflow", "pandas"} & modules_after("import coregpt.cli.reports.report")


def test_everything_a_plugin_needs_is_in_the_api() -> None:
    for path in PLUGINS:
        imports = re.findall(r"^(?:from|import) (coregpt[\w.]*)", path.read_text(), flags=re.M)
        others = {name for name in imports if not name.startswith("coregpt_plugins._shared.")}
        assert others <= {"coregpt.api"}, path.name
