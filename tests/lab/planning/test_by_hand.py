"""Seeds that were listed by hand in sight of their results: the study is exploratory, whatever it calls itself."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from coregpt.lab.planning.by_hand import listed_by_hand
from coregpt.lab.planning.preregister import register
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import Lab
from tests.lab.planning.test_preregister import complete, declared

Make = Callable[..., Lab]
OTHER = {"gelu": {}, "faster": {"optim": {"lr": 0.004}}}


@pytest.fixture
def known(lab: Make, tmp_path: Path) -> Callable[[Sequence[int]], None]:
    """`known([0, 1])`: results of the baseline with these seeds, from a study of another technique."""

    def make(seeds: Sequence[int]) -> None:
        made = declared(lab, name="first", seeds=list(seeds))
        register(made, tmp_path)
        for run in made.runs:
            if run.arm == "gelu":
                complete(made, run, tmp_path)

    return make


def second(lab: Make, seeds: Any, **changes: Any) -> Plan:
    return declared(lab, **{"name": "second", "arms": OTHER, "seeds": seeds, **changes})


def test_the_known_baselines_unlucky_seeds_make_a_study_exploratory(
    lab: Make, tmp_path: Path, known: Callable[..., None]
) -> None:
    known(range(6))
    words = (
        "2 seeds (3, 5) listed by hand when the baseline's results with them were known, and 4 others, whose results "
        "were known too, left out"
    )
    made = second(lab, [3, 5])
    assert register(made, tmp_path) == words
    complete(made, made.runs[0], tmp_path)
    assert register(second(lab, [3, 5]), tmp_path) == words, "once recorded, for ever"


def test_another_name_for_the_baseline_and_fresh_seeds_beside_them_change_nothing(
    lab: Make, tmp_path: Path, known: Callable[..., None]
) -> None:
    known(range(6))
    arms = {"old": {}, "faster": {"optim": {"lr": 0.004}}}
    made = second(lab, [3, 50, 51], arms=arms, test={"baseline": "old", "margin": 0.02})
    assert register(made, tmp_path).startswith("1 seed (3) listed by hand")


def test_a_baseline_that_was_an_arm_elsewhere_is_known_too(lab: Make, tmp_path: Path) -> None:
    made = declared(lab, name="first", seeds=4, test={"baseline": "relu2", "margin": 0.02})
    register(made, tmp_path)
    for run in made.runs:
        complete(made, run, tmp_path)
    assert "1 seed (2) listed by hand" in register(second(lab, [2, 9]), tmp_path)


@pytest.mark.parametrize("seeds", [2, [0, 1, 2], [0, 1, 2, 3, 4, 5, 40], [6, 7], [9, 8]])
def test_seeds_that_could_not_be_chosen_by_results_are_as_good_as_any(
    lab: Make, tmp_path: Path, known: Callable[..., None], seeds: Any
) -> None:
    """The first ones, all that are known and more, or fresh ones."""
    known(range(6))
    assert register(second(lab, seeds), tmp_path) == ""


def test_a_study_that_goes_on_is_not_held_against_its_own_results(lab: Make, tmp_path: Path) -> None:
    made = second(lab, [7, 9])
    assert register(made, tmp_path) == ""
    complete(made, made.runs[0], tmp_path)
    assert register(second(lab, [7, 9]), tmp_path) == ""


def test_another_baseline_is_another_matter(lab: Make, tmp_path: Path, known: Callable[..., None]) -> None:
    known(range(6))
    arms = {"gelu": {"optim": {"lr": 0.001}}, "faster": {"optim": {"lr": 0.004}}}
    assert register(second(lab, [3, 5], arms=arms), tmp_path) == ""


def test_what_is_listed_by_hand(lab: Make) -> None:
    assert not listed_by_hand(declared(lab, seeds=2).study)
    assert not listed_by_hand(declared(lab, seeds=[0, 1]).study)
    assert listed_by_hand(declared(lab, seeds=[1, 0]).study)
