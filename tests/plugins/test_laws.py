"""Every built-in technique obeys every law; every two of them train together, or clash with a clear error."""

import itertools
import random

import pytest

from coregpt.lab.laws import laws
from coregpt.lab.laws.law_case import MIXED
from coregpt.lab.laws.pairs import trains_or_clashes
from coregpt.lab.laws.ranks import STEPS, begin, two_ranks_equal_one
from coregpt.lab.laws.training import one_graph
from coregpt.lab.study.registry import Catalogue

CATALOGUE = Catalogue()
NAMES = CATALOGUE.names()
ALONE = [law for law in laws.LAWS if law not in (two_ranks_equal_one, one_graph)]
PAIRS = list(itertools.combinations(NAMES, 2))
SAMPLE = 200
"""Pairs tested each time, drawn anew with each technique; `coregpt plugins check --pairs` tests all."""


@pytest.mark.parametrize("law", ALONE, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_law(name: str, law: laws.Law) -> None:
    law(laws.LawCase(CATALOGUE, name))


def test_two_gloo_ranks_equal_one_for_every_plugin() -> None:
    subjects = {name: laws.LawCase(CATALOGUE, name).under(MIXED) for name in NAMES}
    weights = begin(list(subjects.values()), steps=STEPS).weights()
    laws.compare_ranks(dict(zip(subjects, weights, strict=True)), subjects)


@pytest.mark.parametrize("pair", sorted(random.Random(len(PAIRS)).sample(PAIRS, min(SAMPLE, len(PAIRS)))), ids="+".join)
def test_pair_trains_or_clashes_clearly(pair: tuple[str, str]) -> None:
    trains_or_clashes(laws.LawCase(CATALOGUE, pair[0]), pair[1])
