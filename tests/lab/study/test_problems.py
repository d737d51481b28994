"""A wrong value is shown as far as a line has room for it."""

from itertools import pairwise
from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.load import load
from coregpt.lab.study.problems import LONGEST, shown


@pytest.mark.parametrize("value", [7, 0.5, "gelu", ["a", 1], {"lr": [0.1, {"a": None}]}, None, (1, 2)])
def test_short_values_are_shown_whole(value: object) -> None:
    assert shown(value) == repr(value)


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), {str(i): "y" * 50 for i in range(1000)}])
def test_long_values_are_cut(value: object) -> None:
    assert len(shown(value)) <= LONGEST + 3


def test_a_file_of_aliases_of_aliases_is_refused_in_a_line(tmp_path: Path) -> None:
    """A refusal had 645 kB."""
    names = "abcde"
    rows = [f"{names[0]}: &{names[0]} [{', '.join('x' * 9)}]"]
    rows += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(names)]
    path = tmp_path / "s.yaml"
    path.write_text("\n".join([*rows, "question: *e", ""]))
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert all(len(line) < 1000 for line in str(refused.value).splitlines())
