"""Pairs that a sweep over all of them found failing in their own words: each is refused by both names."""

import pytest

from coregpt.lab.laws.pairs import clash_of
from coregpt.lab.study.registry import Catalogue

CATALOGUE = Catalogue()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("late_attn_single_source", "partitioned_hc"),
        ("mamba2", "mimetic_vo_init"),
        ("mla_nsa_hybrid", "qk_clip"),
        *((attention, "muon_grouping") for attention in ("gqa", "mla_nsa_hybrid", "narrow_qk", "sparse")),
    ],
)
def test_both_are_named(one: str, other: str) -> None:
    clash = clash_of(CATALOGUE, one, other)
    assert clash is not None
    assert f"'{one}'" in clash
    assert f"'{other}'" in clash
