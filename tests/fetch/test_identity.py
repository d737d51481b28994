"""A repaired download leaves every run what it is."""

import shutil
import subprocess
import sys
from pathlib import Path

import coregpt
from coregpt.lab.study.identity import engine_digest


def test_no_edit_of_the_downloader_changes_what_runs_are_hashed_with(tmp_path, monkeypatch):
    shutil.copytree(Path(coregpt.__file__).parent, tmp_path / "coregpt", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(coregpt, "__file__", str(tmp_path / "coregpt" / "__init__.py"))
    digest = engine_digest.__wrapped__
    before = digest()
    assert before == engine_digest()
    edited = [*(tmp_path / "coregpt" / "fetch").rglob("*.py"), tmp_path / "coregpt" / "cli" / "text" / "data.py"]
    assert len(edited) >= 4
    for path in edited:
        path.write_text(path.read_text() + "\nEDITED = 1\n")
    assert digest() == before
    reader = tmp_path / "coregpt" / "engine" / "data" / "shards.py"
    reader.write_text(reader.read_text() + "\nEDITED = 1\n")
    assert digest() != before


def test_help_does_not_load_the_downloader():
    code = "import sys; from coregpt.cli import main\ntry: main(['data', 'fetch', '--help'])\nexcept SystemExit: pass"
    show = "print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], check=True, capture_output=True, text=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "coregpt.cli" in loaded
    assert not [name for name in loaded if name.startswith(("coregpt.fetch", "huggingface_hub"))]
