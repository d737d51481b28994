"""Two runs are the same run exactly when nothing that can change a number differs."""

import pytest

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
