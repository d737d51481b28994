"""Built-in techniques compile to one graph. A file of its own: compiling takes longer than all other laws together."""

import random

import pytest

from coregpt.lab.laws import laws
from coregpt.lab.laws.training import one_graph
from coregpt.lab.study.registry import Catalogue

CATALOGUE = Catalogue()
NAMES = CATALOGUE.names()
SAMPLE = 5
"""Techniques tested each time, drawn anew with each one that comes; `-m slow` tests the others."""
SAMPLED = set(random.Random(len(NAMES)).sample(NAMES, SAMPLE))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SAMPLED else pytest.mark.slow) for name in NAMES]
)
def test_one_graph(name: str) -> None:
    one_graph(laws.LawCase(CATALOGUE, name))
