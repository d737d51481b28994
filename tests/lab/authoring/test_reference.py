"""docs/api.md is what the source says now, of every name, every hook and every fixture."""

from pathlib import Path

import pytest

import coregpt.api
from coregpt.contract.hookspecs import Hooks
from coregpt.contract.plugin import PREFIXES
from coregpt.lab.authoring.reference import defined, exported, page, told

ROOT = Path(__file__).parent.parent.parent.parent


def test_the_page_in_the_docs_is_current() -> None:
    told = "docs/api.md is old: coregpt plugins api > docs/api.md"
    assert (ROOT / "docs" / "api.md").read_text("utf-8") == page(), told


def test_every_name_hook_and_fixture_has_its_heading() -> None:
    headings = [line.removeprefix("## ") for line in page().splitlines() if line.startswith("## ")]
    hooks = [name for name in vars(Hooks) if name.startswith(PREFIXES)]
    assert sorted(headings) == sorted([*coregpt.api.__all__, *hooks, "build", "batch"])


@pytest.mark.parametrize("entry", list(exported()), ids=lambda entry: entry.name)
def test_every_name_says_what_it_is(entry) -> None:
    assert entry.text, f"{entry.name} in {entry.module} needs a docstring"


def test_a_class_is_told_by_its_fields_and_methods() -> None:
    lines = list(told(defined("Clock", "coregpt.contract.rules", "Clock")))
    assert lines[1] == "class Clock"
    assert "- `step: int`" in lines
    assert "- `progress: float`: 0 before the first step, 1 after the last." in lines


def test_a_property_is_told_without_a_call_also_where_it_is_kept() -> None:
    lines = list(told(defined("Input", "coregpt.contract.input", "Input")))
    assert any(line.startswith("- `weights: Mapping[str, Tensor]`") for line in lines)


def test_a_name_is_followed_to_where_it_is_made() -> None:
    assert defined("Clock", "coregpt.contract.companion", "Clock").module == "coregpt.contract.rules"
    with pytest.raises(LookupError, match="does not define Clocks"):
        defined("Clocks", "coregpt.contract.rules", "Clocks")
