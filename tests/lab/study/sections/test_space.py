"""Spaces: which values they have, and which of them are tried."""

import math
from collections import Counter

import pytest

from coregpt.lab.study.sections.space import Choices, Range, dimension, points

SPACE = {"lr": Range(0.0005, 0.01, log=True), "norm": Choices((True, False)), "layers": Range(1, 4, whole=True)}
WRITTEN = {"lr": 0.002, "norm": True, "layers": 2}


def test_the_settings_as_written_are_tried_first_where_the_space_has_them() -> None:
    assert points(SPACE, 8, "a", WRITTEN)[0] == WRITTEN
    assert points(SPACE, 8, "a", {**WRITTEN, "lr": 0.02})[0] != {**WRITTEN, "lr": 0.02}


def test_points_differ_lie_in_the_space_and_depend_on_nothing_but_the_name() -> None:
    found = points(SPACE, 64, "study/arm", WRITTEN)
    assert len(found) == 64
    assert all(point not in found[:i] for i, point in enumerate(found))
    assert all(point[path] in each for point in found for path, each in SPACE.items())
    assert all(type(point["layers"]) is int for point in found)
    assert points(SPACE, 64, "study/arm", WRITTEN) == found != points(SPACE, 64, "study/other", WRITTEN)
    assert points(SPACE, 8, "study/arm", WRITTEN) == found[:8]


def test_few_points_are_spread_over_a_log_range_more_evenly_than_chance() -> None:
    """16 points, a quarter of the log range each: by chance some quarter has at most one 20% of the time."""
    for name in "abcdefgh":
        found = points({"lr": Range(1e-4, 1.0, log=True)}, 16, name, {"lr": 7.0})
        assert set(Counter(math.floor(math.log10(point["lr"])) for point in found).values()) <= {3, 4, 5}


def test_whole_numbers_are_equally_likely_ends_included() -> None:
    values = Counter(Range(1, 4, whole=True).at(i / 1000) for i in range(1000))
    assert set(values) == {1, 2, 3, 4}
    assert max(values.values()) - min(values.values()) <= 2
    assert {Range(1, 8, log=True, whole=True).at(share) for share in (0.0, 0.999)} == {1, 8}


def test_a_space_of_few_points_gives_no_more_than_it_has() -> None:
    assert len(points({"norm": Choices((True, False))}, 8, "a", {"norm": True})) == 2


def test_numbers_are_whole_only_where_the_setting_is() -> None:
    assert dimension({"low": 0, "high": 1}, 0.1) == Range(0.0, 1.0)
    assert dimension({"low": 1, "high": 4}, 2) == Range(1, 4, whole=True)


@pytest.mark.parametrize(
    "given",
    [3, "auto", {"low": 1}, {"low": 2, "high": 1}, {"low": "a", "high": 2}, [1], [1, 1], {"low": 0, "high": math.inf}],
)
def test_what_is_no_space_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"expected|below"):
        dimension(given, 1.0)
