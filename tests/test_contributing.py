"""The example in CONTRIBUTING.md is a plugin that obeys the laws, and its test passes as printed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from coregpt.lab.laws import laws
from coregpt.lab.laws.training import one_graph
from coregpt.lab.study.registry import Catalogue

PAGE = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
PLUGIN, TEST = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a stranger would put the two files."""
    (tmp_path / "attention_gate.py").write_text(PLUGIN)
    (tmp_path / "test_attention_gate.py").write_text(TEST)
    return tmp_path


OBEYED = [
    pytest.param(law, marks=pytest.mark.slow if law is one_graph else (), id=law.__name__)
    for law in laws.LAWS
    if law is not laws.two_ranks_equal_one
]


@pytest.mark.parametrize("law", OBEYED)
def test_the_example_obeys(law, folder: Path) -> None:
    law(laws.LawCase(Catalogue(files=[folder / "attention_gate.py"]), "attention_gate"))


def test_the_examples_test_runs_as_printed(folder: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-p", "coregpt.testing", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run([*words, "test_attention_gate.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_example_still_is_seventeen_lines() -> None:
    """Lines of its two classes, which hold the whole technique, without docstrings and empty lines."""
    classes = [node for node in ast.parse(PLUGIN).body if isinstance(node, ast.ClassDef)]
    texts = {line for node in classes for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    for node in ast.walk(ast.parse(PLUGIN)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            texts -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = PLUGIN.splitlines()
    assert sum(bool(lines[number - 1].strip()) for number in texts) <= 17
