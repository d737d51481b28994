"""The shape of the repository, kept by tests and not by good intentions."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from coregpt.lab.study.registry import Catalogue

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "coregpt").rglob("*.py"))
PLUGINS = [path for path in sorted((ROOT / "plugins").glob("*.py")) if path.stem != "__init__"]


@pytest.mark.parametrize("path", CORE + PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path: Path) -> None:
    limit = 220 if path in PLUGINS else 290
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_every_technique_has_a_test(path: Path) -> None:
    assert (ROOT / "tests" / "plugins" / f"test_{path.stem}.py").exists()


def test_core_names_no_technique() -> None:
    names = "|".join(Catalogue().names())
    for path in CORE:
        found = re.findall(rf"""['"]({names})['"]""", path.read_text())
        assert not found, f"{path.relative_to(ROOT)} names {found}"


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_the_engine_imports_no_bookkeeping() -> None:
    loaded = modules_after("import coregpt.engine.trainer")
    assert not {"mlflow", "pandas", "yaml", "scipy"} & loaded


def test_help_imports_nothing_heavy() -> None:
    loaded = modules_after("from coregpt.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass")
    assert not {"torch", "numpy", "pydantic", "scipy", "mlflow", "pandas", "yaml"} & loaded


def test_everything_a_plugin_needs_is_in_the_api() -> None:
    for path in PLUGINS:
        imports = re.findall(r"^(?:from|import) (coregpt[\w.]*)", path.read_text(), flags=re.M)
        assert set(imports) <= {"coregpt.api"}, path.name
