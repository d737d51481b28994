"""A study's place in the chain of its baseline: what is a chain, who spends, which level and which seeds it gets."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning import chain
from coregpt.lab.planning.load import load
from coregpt.lab.records.chains import Chains
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.study.chaining import baseline_of, chain_of, earlier
from coregpt.lab.study.declaration import Study
from coregpt.stats.lond import level
from tests.lab.conftest import Lab

Make = Callable[..., Lab]
DATA = "a" * 64
TEST = {"baseline": "plain", "margin": 0.02}
SOFTCAP, SWIGLU = {"plugins": {"softcap": {}}}, {"plugins": {"swiglu": {}}}


@pytest.fixture
def study(lab: Make) -> Callable[..., Study]:
    """`study("name", arm={...}, seeds=6)`: loaded; the baseline is called `plain`."""

    def made(name: str = "one", arm: dict[str, Any] | None = None, **changes: Any) -> Study:
        whole = {"arms": {"plain": {}, "new": arm or SOFTCAP}, "seeds": 6, "test": TEST, **changes}
        return load(lab(name, **whole).study)

    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.of(tmp_path / "runs")


def enter(study: Study, ledger: Ledger) -> None:
    with ledger.locked():
        chain.enter(study, DATA, ledger)


def test_a_chain_is_a_baseline_whatever_arms_are_called(study: Callable[..., Study]) -> None:
    one = study()
    arms = {"base": {}, "x": SWIGLU}
    renamed = study("two", arms=arms, test={**TEST, "baseline": "base", "margin": 0.5}, seeds=[7, 8, 9, 10, 11])
    assert baseline_of(one, DATA) == baseline_of(renamed, DATA)
    assert chain_of(study("three", chain="mine"), DATA) == f"{baseline_of(one, DATA)}/mine"
    tuned = study("four", arms={"plain": {"optim": {"lr": 0.003}}, "new": SOFTCAP})
    assert baseline_of(tuned, DATA) != baseline_of(one, DATA)
    assert baseline_of(one, "b" * 64) != baseline_of(one, DATA)
    here = replace(one.arms[0], machine=one.arms[0].machine.model_copy(update={"precision": "bf16"}))
    assert baseline_of(replace(one, arms=(here, *one.arms[1:])), DATA) == baseline_of(one, DATA)


def test_what_cannot_say_better_spends_nothing(study: Callable[..., Study]) -> None:
    stages = {
        "screen": study("s", stage="screen"),
        "pilot": study("p", seeds=2),
        "confirmation": study("c"),
    }
    assert {word: chain.stage_of(made) for word, made in stages.items()} == {word: word for word in stages}
    assert stages["screen"].reads == "select"
    assert stages["confirmation"].reads == "held_out"


def test_places_are_taken_once_in_order_and_kept(study: Callable[..., Study], ledger: Ledger) -> None:
    first, second, screen = study("one"), study("two", SWIGLU), study("s", stage="screen")
    for made in (first, screen, second, first, second, screen):
        enter(made, ledger)
    assert len(ledger.read()) == 3
    chain.conclude(first, {"new": {"verdict": "better", "p": 0.001, "confirmed": True}}, ledger.path.parent)
    third = study("three", {"plugins": {"relu2": {}}})
    place = chain.place_of(third, DATA, Chains(ledger.read()))
    assert place is not None
    assert (place.k, place.confirmed, place.level) == (3, 1, level(0.05, 3, 1))
    again = chain.place_of(second, DATA, Chains(ledger.read()))
    assert again is not None
    assert (again.k, again.confirmed) == (2, 0)


def test_another_alpha_is_refused_with_its_line_unless_the_study_is_alone(
    study: Callable[..., Study], ledger: Ledger
) -> None:
    enter(study("one"), ledger)
    enter(study("one", test={**TEST, "alpha": 0.01}), ledger)
    first = Chains(ledger.read()).first(chain_of(study("one"), DATA))
    assert first is not None
    assert first.alpha == 0.01
    before = ledger.path.read_bytes()
    with pytest.raises(
        ConfigError, match=r"two\.yaml:\d+: test\.alpha: is 0\.05, but 0\.01 .* set by its first one, 'one'"
    ):
        enter(study("two", SWIGLU, test={**TEST, "alpha": 0.05}), ledger)
    assert ledger.path.read_bytes() == before
    enter(study("two", SWIGLU, test={**TEST, "alpha": 0.05}, chain="mine"), ledger)
    enter(study("s", stage="screen", test={**TEST, "alpha": 0.2}), ledger)


def confirming(lab: Make, source: Study, **changes: Any) -> Study:
    asked = {"study": source.name, "digest": source.digest, "arm": "new"}
    whole = {"arms": {"plain": {}, "new": SOFTCAP}, "seeds": 8, "test": TEST, "confirms": asked, **changes}
    return load(lab("again", **whole).study)


def declare(ledger: Ledger, name: str, seeds: list[int]) -> None:
    runs = [[f"{name}{seed}", "plain", seed] for seed in seeds]
    ledger.append("declared", study=name, digest="", declaration={"seeds": seeds, "arms": {}}, code={}, runs=runs)


def test_a_confirmation_gets_unused_seeds_and_its_level_and_neither_is_in_its_digest(
    lab: Make, study: Callable[..., Study], ledger: Ledger
) -> None:
    screen, store = study("s", stage="screen"), ledger.path.parent
    enter(screen, ledger)
    declare(ledger, "s", [0, 1, 2, 5])
    written = confirming(lab, screen)
    assert written.preregistration()["seeds"] == {"fresh": 8}
    assert written.preregistration()["test"]["alpha"] == 0.05
    made = chain.resolved(written, store)
    assert made.seeds == (3, 4, 6, 7, 8, 9, 10, 11)
    assert made.criterion.alpha == level(0.05, 1, 0)
    assert made.digest == written.digest
    enter(made, ledger)
    declare(ledger, "again", list(made.seeds))
    declare(ledger, "later", [3, 20])
    enter(study("two", SWIGLU), ledger)
    assert chain.resolved(written, store).seeds == made.seeds
    assert chain.resolved(written, store).criterion == made.criterion
    found = Chains(ledger.read()).of("again")
    assert found is not None
    assert (found.chain, found.source, found.seeds) == (chain_of(screen, DATA), "s", made.seeds)


def test_one_that_was_overtaken_between_planning_and_registration_is_refused(
    lab: Make, study: Callable[..., Study], ledger: Ledger
) -> None:
    screen = study("s", stage="screen")
    enter(screen, ledger)
    made = chain.resolved(confirming(lab, screen), ledger.path.parent)
    enter(study("two", SWIGLU), ledger)
    with pytest.raises(ConfigError, match="another study was registered meanwhile"):
        enter(made, ledger)


def test_a_source_that_is_not_on_record_is_refused(lab: Make, study: Callable[..., Study], ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="coregpt ledger merge"):
        chain.resolved(confirming(lab, study("s", stage="screen")), ledger.path.parent)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": [1, 2, 3, 4, 5]}, "seeds: a confirmation says how many"),
        ({"chain": "mine"}, "chain: a confirmation belongs to the chain of the study that it confirms"),
        ({"bracket": {}}, "confirms: a confirmation tests one arm at settings that are fixed; remove 'bracket'"),
        ({"stage": "screen"}, "remove 'stage: screen'"),
    ],
)
def test_what_a_confirmation_may_not_say(
    lab: Make, study: Callable[..., Study], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        confirming(lab, study("s", stage="screen"), **changes)


def test_a_screen_brackets_its_baseline_with_as_many_seeds_as_it_tests_with(study: Callable[..., Study]) -> None:
    arms = {"plain": {}, "new": SOFTCAP}
    screen, plain = study("s", stage="screen", bracket={}, arms=arms), study("p", bracket={}, arms=arms)
    assert len(screen.designs["bracket"].seeds) == 6
    assert len(plain.designs["bracket"].seeds) == 2
    assert screen.designs["bracket"].each == 2


FIND = {"new": {"verdict": "better", "p": 0.001, "confirmed": True}}


def test_a_chain_goes_on_where_its_find_is_the_baseline(study: Callable[..., Study], ledger: Ledger) -> None:
    first = study("one")
    enter(first, ledger)
    onward = {"arms": {"capped": SOFTCAP, "new": {"plugins": {"softcap": {}, "swiglu": {}}}}}
    onward["test"] = {**TEST, "baseline": "capped"}
    assert chain.followed(study("two", **onward), DATA, Chains(ledger.read())) is None
    chain.conclude(first, FIND, ledger.path.parent)
    said = chain.followed(study("two", **onward), DATA, Chains(ledger.read()))
    assert said is not None
    assert (said.study, said.arm) == ("one", "new")
    second = study("two", **onward, follows=said.declared())
    enter(second, ledger)
    chains = Chains(ledger.read())
    assert len(chains.ids()) == 1
    place = chains.registrations[-1].place
    assert place is not None
    assert (place.k, place.confirmed) == (2, 1)
    other = study("three", **{**onward, "arms": {"capped": SWIGLU, "new": SOFTCAP}}, follows=said.declared())
    with pytest.raises(ConfigError, match="the baseline is not 'new' as 'one' has confirmed it"):
        enter(other, ledger)
    with pytest.raises(ConfigError, match="has not confirmed 'x'"):
        enter(study("four", **onward, follows={**said.declared(), "arm": "x"}), ledger)
    with pytest.raises(ConfigError, match="the ledger has no study 'zero'"):
        enter(study("five", **onward, follows={**said.declared(), "study": "zero"}), ledger)
    with pytest.raises(ConfigError, match="says which chain"):
        study("six", **onward, follows=said.declared(), chain="mine")


def test_what_no_ledger_has_counts_as_it_is_told(study: Callable[..., Study], ledger: Ledger) -> None:
    told = {"claims": 2, "why": "tried on another machine, whose record is lost"}
    first = study(earlier=told)
    enter(first, ledger)
    (known,) = Chains(ledger.read()).registrations
    assert known.place is not None
    assert (known.place.k, known.place.level) == (3, level(0.05, 3, 0))
    enter(study("two", SWIGLU), ledger)
    enter(study("three", {"optim": {"lr": 0.1}}, earlier={**told, "claims": 5}), ledger)
    places = [each.place.k for each in Chains(ledger.read()).registrations if each.place]
    assert places == [3, 4, 8], "a later study stands behind those too, and may know of more"


def test_what_was_tried_before_may_be_told_later_and_not_taken_back(
    study: Callable[..., Study], ledger: Ledger
) -> None:
    enter(study(), ledger)
    enter(study(earlier={"claims": 1, "why": "remembered"}), ledger)
    assert Chains(ledger.read()).of("one").place.k == 2  # type: ignore[union-attr]
    enter(study(), ledger)
    assert Chains(ledger.read()).of("one").place.k == 2  # type: ignore[union-attr]


def test_a_confirmation_stands_behind_claims_that_its_screen_only_told(
    study: Callable[..., Study], ledger: Ledger
) -> None:
    told = {"claims": 2, "why": "tried on another machine, whose record is lost"}
    screen = study("screen", stage="screen", earlier=told)
    enter(screen, ledger)
    asked = {"study": "screen", "digest": screen.digest, "arm": "new"}
    enter(chain.resolved(study("sure", confirms=asked, earlier=told), ledger.path.parent), ledger)
    known = Chains(ledger.read()).of("sure")
    assert known is not None
    assert known.place is not None
    assert (known.place.k, known.place.level) == (3, level(0.05, 3, 0))


def test_a_pilot_that_becomes_a_confirmation_moves_no_other_and_hides_no_claims(
    study: Callable[..., Study], ledger: Ledger
) -> None:
    enter(study("pilot", seeds=2), ledger)
    second, third = study("two", SWIGLU), study("three", {"optim": {"lr": 0.1}})
    for made in (second, third, study("pilot"), second, third):
        enter(made, ledger)
    chains = Chains(ledger.read())
    assert {name: chains.of(name).place.k for name in ("two", "three", "pilot")} == {"two": 1, "three": 2, "pilot": 3}  # type: ignore[union-attr]
    assert chains.unseen(chains.ids()[0]) == 0
    after = chain.place_of(study("four", {"optim": {"lr": 0.2}}), DATA, chains)
    assert after is not None
    assert after.k == 4


def test_earlier_claims_are_those_of_one_scale(study: Callable[..., Study]) -> None:
    scales = {"small": {}, "large": {"tokens": 4096}}
    told = {"claims": 1, "why": "x", "scale": "large"}
    assert earlier(study(scales=scales, earlier=told)) is None
    assert earlier(study(scales=scales, earlier={**told, "scale": "small"})) is not None
    with pytest.raises(ConfigError, match="no scale 'huge'"):
        study(scales=scales, earlier={**told, "scale": "huge"})
