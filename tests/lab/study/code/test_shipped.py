"""A technique came with CoreGPT if all of its code did, wherever it lies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coregpt.lab.study.code.shipped import LIST
from tests.plugins.digests import PLUGINS

ASK = "from coregpt.lab.study.registry import Catalogue as C; print(*(n for n in {names} if C().shipped(n)))"
NEW = '"""New.\n\nSource: nobody.\n"""\n\nfrom coregpt.api import Plugin\n\n\nclass New(Plugin):\n    """Nothing."""\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The folder of techniques as another process finds it."""
    shutil.copytree(PLUGINS, tmp_path / "coregpt_plugins", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "coregpt_plugins"


def shipped(clone: Path, *names: str) -> list[str]:
    """Those of `names` that count as shipped there."""
    path = os.pathsep.join([str(clone.parent), *sys.path])
    command = [sys.executable, "-c", ASK.format(names=names)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_what_was_written_or_edited_there_since_did_not_come_with_it(clone: Path) -> None:
    (clone / "mlp" / "new.py").write_text(NEW)
    shared = clone / "_shared" / "rotary.py"  # paired_head_attention imports it
    relu2 = clone / "mlp" / "relu2.py"
    relu2.write_bytes(relu2.read_bytes().replace(b"\n", b"\r\n"))  # as git may write lines on Windows
    asked = ("relu2", "swiglu", "softcap", "paired_head_attention", "new")
    assert shipped(clone, *asked) == ["relu2", "swiglu", "softcap", "paired_head_attention"]
    relu2.write_text(relu2.read_text() + "\nTWICE = 2\n")
    shared.write_text(shared.read_text() + "\nTWICE = 2\n")
    assert shipped(clone, *asked) == ["swiglu", "softcap"]
    around = clone / "mlp" / "__init__.py"
    around.write_text(around.read_text() + "\nTWICE = 2\n")
    assert shipped(clone, *asked) == ["softcap"]
    (clone / LIST).unlink()
    assert shipped(clone, *asked) == []
