"""Chains by the ledger: places and levels are fixed when they are taken, outcomes count for those that come later."""

from pathlib import Path
from typing import Any

import pytest

from coregpt.lab.records.chains import Chains, seeds_of
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.merging import merge
from coregpt.stats.lond import level


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.of(tmp_path / "own")


def register(ledger: Ledger, study: str, stage: str = "confirmation", chain: str = "b", **changes: Any) -> None:
    """As `lab.planning.chain` does."""
    place = Chains(ledger.read()).next(chain, 0.05)
    spent = {"k": place.k, "confirmed": place.confirmed} if stage == "confirmation" else {}
    said = {"digest": "d" * 64, "source": "", "seeds": [0, 1], "alpha": 0.05, **spent, **changes}
    ledger.append("chained", study=study, chain=chain, stage=stage, **said)


def conclude(ledger: Ledger, study: str, confirmed: bool, chain: str = "b") -> None:
    arms = {"new": {"verdict": "better", "p": 0.001, "confirmed": confirmed}}
    ledger.append("concluded", study=study, chain=chain, digest="d" * 64, arms=arms)


def places(ledger: Ledger) -> list[tuple[str, int, int]]:
    found = Chains(ledger.read()).confirmations("b")
    return [(each.study, each.place.k, each.place.confirmed) for each in found if each.place]


def test_a_place_counts_those_before_it_and_their_outcomes_then(ledger: Ledger) -> None:
    register(ledger, "first")
    register(ledger, "abandoned")
    conclude(ledger, "first", confirmed=True)
    register(ledger, "third")
    conclude(ledger, "third", confirmed=False)
    conclude(ledger, "abandoned", confirmed=True)
    assert places(ledger) == [("first", 1, 0), ("abandoned", 2, 0), ("third", 3, 1)]
    next_ = Chains(ledger.read()).next("b", 0.05)
    assert (next_.k, next_.confirmed, next_.level) == (4, 2, level(0.05, 4, 2))


def test_screens_and_pilots_spend_nothing_and_other_chains_are_apart(ledger: Ledger) -> None:
    for study, stage in (("s", "screen"), ("p", "pilot")):
        register(ledger, study, stage)
    register(ledger, "other", chain="b/mine")
    register(ledger, "elsewhere", chain="c")
    chains = Chains(ledger.read())
    assert chains.next("b", 0.05).k == 1
    assert chains.beside("b") == ["b/mine"]
    assert chains.beside("b/mine") == ["b"]
    assert [each.study for each in chains.studies("b")] == ["s", "p"]


def test_what_was_registered_as_a_confirmation_stays_one_when_its_file_says_screen(ledger: Ledger) -> None:
    register(ledger, "first")
    register(ledger, "first", "screen")
    assert places(ledger) == [("first", 1, 0)]
    assert Chains(ledger.read()).next("b", 0.05).k == 2


def test_alpha_is_that_of_the_earliest_and_a_place_taken_twice_is_told(ledger: Ledger, tmp_path: Path) -> None:
    register(ledger, "here")
    other = Ledger.of(tmp_path / "other")
    register(other, "there", alpha=0.01)
    merge(ledger, other)
    chains = Chains(ledger.read())
    assert chains.twice("b") == [1]
    assert chains.next("b", 0.05).k == 3
    assert [each.machine == "" for each in chains.confirmations("b")] == [True, False]
    first = chains.first("b")
    assert first is not None
    assert first.time <= min(each.time for each in chains.confirmations("b"))


def test_a_study_of_another_machine_is_no_own_one_of_the_same_name(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger.of(tmp_path / "other")
    register(other, "same", digest="e" * 64)
    register(ledger, "same")
    merge(ledger, other)
    chains = Chains(ledger.read())
    own, any_ = chains.of("same"), chains.anywhere("same", "e" * 64)
    assert own is not None
    assert any_ is not None
    assert (own.digest[0], any_.digest[0]) == ("d", "e")
    assert chains.of("same", "e" * 64) is None


def test_every_seed_that_was_ever_planned_or_run_is_used(ledger: Ledger, tmp_path: Path) -> None:
    def declare(into: Ledger, seeds: list[int], **more: Any) -> None:
        declaration = {"seeds": seeds, "arms": {"seeds": {}}, **more}
        into.append("declared", study="s", declaration=declaration, runs=[[f"r{seed}", "a", seed] for seed in seeds])

    declare(ledger, [3, 4], bracket={"setting": "optim.lr", "seeds": [1000, 1001]})
    ledger.append("started", study="noise", run="x", arm="a", seed=77)
    other = Ledger.of(tmp_path / "other")
    declare(other, [9])
    merge(ledger, other)
    assert seeds_of(ledger.read()) == {3, 4, 9, 77, 1000, 1001}
