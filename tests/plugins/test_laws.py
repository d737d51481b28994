"""Every built-in technique obeys every law; every two of them train together, or clash with a clear error.

A sample each time (`tests/sampled.py`), and the rest with `-m slow`; `coregpt plugins check NAME --pairs` tests all of
one technique.
"""

import itertools
import random
from functools import cache

import pytest

from coregpt.lab.laws import laws
from coregpt.lab.laws.building import counts_agree
from coregpt.lab.laws.fair import leaves_what_all_share_alone, trains_on_its_batch_alone
from coregpt.lab.laws.law_case import MIXED
from coregpt.lab.laws.pairs import trains_or_clashes
from coregpt.lab.laws.ranks import STEPS, begin, two_ranks_equal_one
from coregpt.lab.laws.seeing import evaluation_leaves_no_trace, rows_do_not_meet, sees_no_future
from coregpt.lab.laws.training import loss_falls, one_graph, resumes_to_the_bit
from coregpt.lab.study.registry import Catalogue
from tests import sampled

CATALOGUE = Catalogue()
NAMES = CATALOGUE.names()
LONG = (
    loss_falls,
    counts_agree,
    evaluation_leaves_no_trace,
    leaves_what_all_share_alone,
    resumes_to_the_bit,
    sees_no_future,
)
"""Most of the time goes here. Each time every technique is put before one of them, and `-m slow` before the others."""
MIDDLE = (trains_on_its_batch_alone, rows_do_not_meet)
"""Each time a third of the techniques is put before each. Of all of them `lab/study/test_updates.py` tests what
optimizers multiply, and `lab/laws/test_causality.py` that rows do not meet in the plain model."""
THIRD = 3
SHORT = [law for law in laws.LAWS if law not in (*LONG, *MIDDLE, two_ranks_equal_one, one_graph)]
PAIRS = list(itertools.combinations(NAMES, 2))
SAMPLE = 80
"""Pairs tested each time; `-m slow` tests the others."""
SAMPLED = set(random.Random(sampled.seed()).sample(PAIRS, min(SAMPLE, len(PAIRS))))


@cache
def case(name: str) -> laws.LawCase:
    """One for all laws, as `coregpt plugins check` has it: what a technique asks for is found by building it once."""
    return laws.LawCase(CATALOGUE, name)


@pytest.mark.parametrize("law", SHORT, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_law(name: str, law: laws.Law) -> None:
    law(case(name))


@pytest.mark.parametrize(
    ("name", "law"),
    [
        sampled.sooner_or_later((name, law), sampled.now(name, sweep, parts, part), f"{name}-{law.__name__}")
        for name in NAMES
        for sweep, some, parts in (("long", LONG, len(LONG)), ("middle", MIDDLE, THIRD))
        for part, law in enumerate(some)
    ],
)
def test_long_law(name: str, law: laws.Law) -> None:
    law(case(name))


@sampled.halves("ranks", THIRD)
def test_two_gloo_ranks_equal_one(chosen: list[str]) -> None:
    subjects = {name: case(name).under(MIXED) for name in chosen}
    weights = begin(list(subjects.values()), steps=STEPS).weights()
    laws.compare_ranks(dict(zip(subjects, weights, strict=True)), subjects)


@pytest.mark.parametrize("pair", [sampled.sooner_or_later((pair,), pair in SAMPLED, "+".join(pair)) for pair in PAIRS])
def test_pair_trains_or_clashes_clearly(pair: tuple[str, str]) -> None:
    trains_or_clashes(case(pair[0]), pair[1])
