"""The guide's table of reference runs says what is counted here, and what the facts of their source say."""

import re
from pathlib import Path

import pytest

from .built import Recipe
from .facts import facts_of

GUIDE = Path(__file__).parent.parent.parent / "docs" / "experiment_guide.md"
OF = {"gptlab-xs": "h_gptlab_XS", "gptlab-s": "h_gptlab_S", "gptlab-m": "h_gptlab_M"}


def rows():
    section = GUIDE.read_text(encoding="utf-8").partition("## Reference runs\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?m)^\| \[`(\w+)`\]\(\S+\) \| `([\w-]+)` \| (.*) \|$", section)
    return [(name, scale, cells.split(" | ")) for name, scale, cells in found]


def test_all_three_are_there():
    assert [scale for _, scale, _ in rows()] == list(OF)


@pytest.mark.parametrize(("name", "scale", "cells"), rows())
def test_a_row_has_the_size_and_the_tokens_of_its_study_and_the_loss_of_its_source(name, scale, cells):
    recipe = Recipe(name, scale)
    size = sum(part.size for part in recipe.parts)
    assert cells[:2] == [f"{size / 1e6:.0f}M", f"{recipe.config.tokens / 1e6:.0f}M"]
    assert cells[3] == next(fact.value for fact in facts_of(OF[scale]) if fact.item == "loss.val.final")
    assert cells[4] == "no"


@pytest.mark.parametrize(("name", "scale", "cells"), rows()[:1])
def test_a_row_has_the_cost_that_plan_counts(name, scale, cells):
    """The smallest: the others take up to a minute each."""
    assert cells[2] == f"{Recipe(name, scale).cost.flops:.1e}".replace("e+", "e")
