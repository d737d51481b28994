"""Built-in techniques compile to one graph. A file of its own: compiling takes longer than all other laws together."""

import random

import pytest

from coregpt.lab.laws import laws
from coregpt.lab.laws.training import one_graph
from coregpt.lab.study.registry import Catalogue
from tests import sampled

CATALOGUE = Catalogue()
NAMES = CATALOGUE.names()
SAMPLE = 5
"""Techniques tested each time, beside those that were edited; `-m slow` tests the others."""
SAMPLED = {*random.Random(sampled.seed()).sample(NAMES, SAMPLE), *sampled.edited()}


@pytest.mark.parametrize("name", [sampled.sooner_or_later((name,), name in SAMPLED, name) for name in NAMES])
def test_one_graph(name: str) -> None:
    one_graph(laws.LawCase(CATALOGUE, name))
