"""Two runs are the same run exactly when nothing that can change a number differs."""

import ast
import hashlib
from pathlib import Path

import pytest

import coregpt
from coregpt.contract.config import RunConfig
from coregpt.lab.study.identity import engine_digest, run_id, source_digest

CODE = '''"""Doc."""
LIMIT = 3


class Thing:
    """Doc."""

    size: int = 1
    """Doc of size."""

    def twice(self, x):
        """Doc."""
        return 2 * x  # comment
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [("# comment", "# another"), ("2 * x", "2*x"), ('"""Doc."""', '"""Other."""'), ('    """Doc of size."""\n', "")],
)
def test_comments_formatting_and_docstrings_do_not_count(old: str, new: str) -> None:
    assert source_digest(CODE.replace(old, new)) == source_digest(CODE)


@pytest.mark.parametrize(
    ("old", "new"), [("2 * x", "3 * x"), ("LIMIT = 3", "LIMIT = 4"), ("size: int = 1", "size: int = 2")]
)
def test_code_counts(old: str, new: str) -> None:
    assert source_digest(CODE.replace(old, new)) != source_digest(CODE)


def test_a_function_that_is_only_a_docstring_is_still_code() -> None:
    assert source_digest('def f():\n    """Doc."""\n') == source_digest("def f():\n    pass\n")


def test_every_part_of_a_run_counts() -> None:
    config, plugins = RunConfig(plugins={"relu2": {}}), {"relu2": "a"}
    same = run_id(config, plugins, "data")
    assert same == run_id(RunConfig(plugins={"relu2": {}}), {"relu2": "a"}, "data")
    assert len(same) == 12
    others = {
        run_id(config.model_copy(update={"seed": 1}), plugins, "data"),
        run_id(config.model_copy(update={"tokens": 500_000}), plugins, "data"),
        run_id(config.model_copy(update={"plugins": {"relu2": {"x": 1}}}), plugins, "data"),
        run_id(config, {"relu2": "b"}, "data"),
        run_id(config, plugins, "other data"),
        same,
    }
    assert len(others) == 6


def test_the_engine_has_one_digest() -> None:
    assert engine_digest() == engine_digest()
    assert len(engine_digest()) == 64


def test_docstrings_are_left_out_wherever_statements_lie() -> None:
    """Of contract and engine: the digest goes through statements alone, and finds what going through all nodes does."""
    root = Path(coregpt.__file__).parent
    for file in [root / "api.py", *(root / "contract").rglob("*.py"), *(root / "engine").rglob("*.py")]:
        assert source_digest(file.read_text("utf-8")) == slow_digest(file.read_text("utf-8"))
    said, silent = "  def f():\n   'Doc.'\n   x\n", "  def f():\n   x\n"
    blocks = ("if x:\n{}", "for x in y:\n{}else:\n{}", "try:\n{}except A:\n{}finally:\n{}", "match x:\n case 1:\n{}")
    for block in blocks:
        assert source_digest(block.replace("{}", said)) == source_digest(block.replace("{}", silent)), block


def slow_digest(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            texts = [line for line in body if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)]
            node.body = [line for line in body if line not in texts or not isinstance(line.value.value, str)]  # type: ignore[attr-defined]
            node.body = node.body or [ast.Pass()]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
