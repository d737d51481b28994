"""What is installed: every module of both packages, and a new folder of techniques without an edit."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CARD = '"""Another idea.\n\nSource: nobody.\n"""'


@pytest.mark.slow
def test_a_wheel_holds_everything(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("coregpt", "plugins"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    new = source / "plugins" / "brandnew"
    new.mkdir()
    (new / "__init__.py").write_text('"""Is it found?"""\n')
    (new / "another_idea.py").write_text(f"{CARD}\nfrom coregpt.api import Plugin\n\n\nclass Idea(Plugin):\n    pass\n")

    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    held = {path.relative_to(site).as_posix() for path in site.rglob("*.*") if path.parent.suffix != ".dist-info"}
    core = {path.relative_to(source).as_posix() for path in (source / "coregpt").rglob("*.*")}
    plugins = {path.relative_to(source / "plugins").as_posix() for path in (source / "plugins").rglob("*.*")}
    assert "coregpt/stats/residuals.csv" in core
    assert held - {f"{wheel.name.split('-py3')[0]}.dist-info"} == core | {f"coregpt_plugins/{name}" for name in plugins}

    listed = subprocess.run(
        [sys.executable, "-m", "coregpt.cli", "plugins", "list"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
    ).stdout
    assert "brandnew: Is it found?" in listed
    assert "another_idea" in listed
    assert "broken" not in listed
