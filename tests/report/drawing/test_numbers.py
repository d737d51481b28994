"""Numbers as people read them."""

import math

import pytest

from coregpt.report.drawing.numbers import (
    duration,
    fixed,
    listing,
    p_phrase,
    p_value,
    plural,
    relative,
    si,
    signed,
    span,
)


def test_signs_are_explicit_and_zero_has_none():
    assert [signed(x, 3) for x in (0.01, -0.01, 0.0, -0.0001, None)] == [
        "+0.010",
        "\u22120.010",
        "0.000",
        "0.000",
        "\u2013",
    ]


def test_missing_and_infinite_numbers_can_be_read():
    assert [fixed(x, 2) for x in (None, math.nan, math.inf, -math.inf)] == ["\u2013", "\u2013", "∞", "\u2212∞"]
    assert span(None, 3) == "\u2013"


@pytest.mark.parametrize(
    ("p", "text"), [(0.00001, "< 0.0001"), (0.0004, "0.0004"), (0.0312, "0.031"), (0.234, "0.23"), (1.0, "1.00")]
)
def test_p_values_have_two_digits_and_tiny_ones_a_bound(p: float, text: str):
    assert p_value(p) == text
    assert p_phrase(p) in (f"p = {text}", f"p {text}")


def test_quantities_have_prefixes_and_changes_are_relative():
    assert [si(x) for x in (0.5, 999.0, 999_900.0, 1_234_567.0, 3e18)] == ["0.5", "999", "1 M", "1.23 M", "3 E"]
    assert si(1024.0, "B") == "1.02 kB"
    assert [relative(x, 100) for x in (100, 103.14, 97.0)] == ["same", "+3.1%", "\u22123.0%"]
    assert [relative(x, 1e6) for x in (1e6 + 2, 1e6 - 2, 1e6 + 200)] == ["+<0.01%", "\u2212<0.01%", "+0.02%"]


def test_time_and_counts_read_naturally():
    assert [duration(s) for s in (42.0, 150.0, 9000.0, None)] == ["42 s", "2.5 min", "2.5 h", "\u2013"]
    assert [plural(n, "seed") for n in (1, 2)] == ["1 seed", "2 seeds"]
    assert [listing(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
