"""The page of names leads to what is there, from every technique and for every entry of the list it was made from."""

import re

import pytest

from coregpt.contract.config import RunConfig
from coregpt.lab.study.registry import Catalogue
from tests.plugins.known import FAMILIES, KINDS, PAGE, Known, known, page, unnamed

LISTED = {"A": 28, "B": 16, "C": 33, "D": 13, "E": 10, "F": 8, "G": 14, "H": 9}
"""Entries of each family."""


def test_the_page_is_the_one_that_is_made():
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("each", known(), ids=lambda each: each.name)
def test_a_row_leads_somewhere(each: Known):
    assert each.kind in KINDS
    assert each.id[0] in FAMILIES
    assert (each.kind in ("technique", "setting")) == bool(each.where)
    for name in each.techniques:
        Catalogue().cls(name)
    if each.kind == "setting":
        place = RunConfig()
        for word in each.where.split("."):
            place = getattr(place, word)
    if each.kind in ("missing", "outside") and each.id[0] != "I":
        assert each.note


def test_no_entry_and_no_technique_is_left_out():
    ids = {each.id for each in known()}
    assert not [
        f"{letter}{n}" for letter, last in LISTED.items() for n in range(1, last + 1) if f"{letter}{n}" not in ids
    ]
    assert unnamed(Catalogue()) == []


def test_options_that_rows_name_exist():
    for each in known():
        options = [name for technique in each.techniques for name in Catalogue().cls(technique).model_fields]
        for name in re.findall(r"`(\w+)(?:: [^`]*)?`", each.note):
            if each.kind == "technique" and name not in options:
                assert name in Catalogue().names(), f"{each.name}: {name}"
