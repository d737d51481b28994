"""The choice of test depends on seeds and arms alone, and says why."""

import inspect

import pytest

from coregpt.stats.design import choose_test, fewest_seeds, smallest_sign_flip_p


@pytest.mark.parametrize(
    ("seeds", "treatments", "method", "df"),
    [
        (1, 1, "none", 0),
        (2, 1, "none", 0),
        (2, 6, "none", 0),
        (3, 1, "none", 0),
        (4, 1, "none", 0),
        (5, 1, "paired_t", 4),
        (20, 1, "paired_t", 19),
        (3, 2, "dunnett", 4),
        (7, 5, "dunnett", 30),
        (8, 2, "paired_t_holm", 7),
    ],
)
def test_the_test_follows_from_seeds_and_arms(seeds: int, treatments: int, method: str, df: int):
    design = choose_test(seeds, treatments)
    assert (design.method, design.error_df) == (method, df)
    assert design.can_test is (method != "none")
    assert design.reason
    assert design.name


def test_broken_blocks_are_never_analysed_as_pairs():
    assert choose_test(6, 1, paired=False).method == "welch_holm"
    assert choose_test(2, 1, paired=False).method == "none"


def test_the_choice_cannot_see_any_value():
    assert list(inspect.signature(choose_test).parameters) == [
        "n_seeds",
        "n_treatments",
        "paired",
        "screen",
        "borrowed_df",
    ]


def test_fewest_seeds_is_where_testing_begins():
    assert (fewest_seeds(1), fewest_seeds(2), fewest_seeds(1, paired=False)) == (5, 3, 3)


def test_the_sign_flip_test_cannot_reach_five_percent_with_five_seeds_but_can_with_six():
    assert smallest_sign_flip_p(5) == 0.0625
    assert smallest_sign_flip_p(6) == 0.03125


def test_a_study_without_treatments_is_refused():
    with pytest.raises(ValueError, match="n_treatments"):
        choose_test(5, 0)
