"""The chain's sentence beside the study's own, a screen's two words, and that a chain of one says nothing."""

from typing import Any

import pytest

from coregpt.report.designs.chain.words import ordinal
from coregpt.report.facts.chain import ChainFacts, EarlierClaims
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.render import render
from coregpt.report.verdicts.confirmed import confirmed, outcomes
from tests.report import studies

GPT = [3.0, 3.1, 3.2, 3.05, 3.1, 3.15]
BETTER = [2.95, 3.04, 3.1, 3.02, 3.05, 3.08]  # gain 0.06, p about 0.003
WORSE = [3.1, 3.25, 3.28, 3.18, 3.2, 3.27]


def chain(k: int = 3, level: float = 0.0038, **changes: Any) -> ChainFacts:
    said = {"chain": "3f2a", "stage": "confirmation", "alpha": 0.05, "k": k, "confirmed": 0, "level": level}
    return ChainFacts(**{**said, "confirmations": k, **changes})


def report(arm: list[float], **changes: Any) -> Report:
    return studies.report({"gpt": GPT, "new": arm}, **changes)


def test_from_the_second_study_on_there_are_both_sentences() -> None:
    sure, unsure = report(BETTER, chain=chain(level=0.02)), report(BETTER, chain=chain(level=0.0001))
    for made, word in ((sure, "confirmed"), (unsure, "not confirmed")):
        (c,) = made.comparisons
        assert c.verdict == "better"
        assert c.sentence.startswith("new lowers val_loss against gpt by")
        assert (
            f"In its chain: the 3rd confirmation on this baseline, tested at {made.study.chain.level:.2g}: {word}."
            in (c.sentence)
        )
    assert sure.headline == "new is better than gpt. Its chain of studies confirms it."
    assert unsure.headline == "new is better than gpt. Its chain of studies does not confirm it."
    assert "LOND" in render(unsure)["report.md"]


def test_alone_in_its_chain_a_study_keeps_its_own_verdict_and_words() -> None:
    alone = report(BETTER, chain=chain(1, 0.0001))
    plain = report(BETTER)
    assert alone.headline == plain.headline
    assert alone.comparisons == plain.comparisons
    first = report(BETTER, chain=chain(1, 0.0001, confirmations=4))
    assert (
        "the 1st of 4 confirmations on this baseline, tested at 0.0001: not confirmed." in first.comparisons[0].sentence
    )


def test_a_confirmation_of_a_candidate_speaks_even_if_it_is_the_first() -> None:
    made = report(BETTER, alpha=0.0219, chain=chain(1, 0.0219, source="screen1"))
    assert "the 1st confirmation on this baseline, tested at 0.022 at the settings of screen1: confirmed." in (
        made.comparisons[0].sentence
    )


def test_only_better_at_the_level_and_not_exploratory_is_confirmed() -> None:
    def holds(arm: list[float], level: float, **changes: Any) -> bool:
        made = report(arm, chain=chain(level=level), **changes)
        return confirmed(made.study, made.comparisons[0])

    assert holds(BETTER, 0.02)
    assert not holds(BETTER, 0.0001)
    assert not holds(WORSE, 0.02)
    assert not holds(BETTER, 0.02, exploratory="amended after 1 run had started: seeds")
    made = report(WORSE, chain=chain(level=0.02))
    said = outcomes(made.study, made.comparisons)["new"]
    assert (said["verdict"], said["confirmed"]) == ("worse", False)


@pytest.mark.parametrize(("arm", "word"), [(BETTER, "candidate"), (WORSE, "no sign"), (GPT[::-1], "no sign")])
def test_a_screen_knows_two_words_and_never_better(arm: list[float], word: str) -> None:
    screen = ChainFacts(chain="3f2a", stage="screen", alpha=0.05)
    made = report(arm, alpha=0.2, stage="screen", chain=screen)
    (c,) = made.comparisons
    assert c.verdict == word
    pages = render(made)
    for text in (made.headline, c.sentence, *(pages[name] for name in ("report.md", "report.html"))):
        assert "is better than" not in text or "No sign that new is better than" in text or "no claim that it" in text
    assert "calls nothing better" in made.notes[0] or any("calls nothing better" in note for note in made.notes)
    assert 'class="verdict no-sign"' in pages["report.html"] or word == "candidate"
    assert "more seeds" not in c.sentence
    assert from_json(to_json(made)) == made


def test_a_screen_that_cannot_be_judged_says_so() -> None:
    made = studies.report({"gpt": GPT, "new": [*BETTER[:5], None]}, stage="screen")
    assert made.comparisons[0].verdict in ("candidate", "no sign")
    gone = studies.study(("gpt", "new"), 6, stage="screen")
    runs = studies.runs({"gpt": GPT, "new": BETTER})[:-1]
    assert studies.summarise(gone, runs).comparisons[0].verdict == "invalid"


def test_other_chains_on_the_baseline_and_places_taken_twice_are_told() -> None:
    made = report(BETTER, chain=chain(beside={"3f2a/mine": 2, "3f2a": 1}, twice=(1, 2)))
    text = " ".join(made.notes)
    assert "other chains of studies: 3f2a/mine (2 confirmations) and 3f2a (1 confirmation)" in text
    assert "registered as the 1st and 2nd of this chain" in text
    named = report(BETTER, chain=chain(chain="3f2a/mine"))
    assert "confirmation of chain mine on this baseline" in named.comparisons[0].sentence


def test_ordinals() -> None:
    assert [ordinal(k) for k in (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th"]
    )


def test_claims_that_no_ledger_has_make_a_study_one_of_several() -> None:
    """Its report called itself the first of its chain, and decision 028 called it the fourth."""
    told = EarlierClaims(claims=3, why="Two sizes and a bracket, tried in folders of their own.")
    made = report(BETTER, chain=chain(4, 0.0001, confirmations=1, earlier=told))
    assert made.headline == "new is better than gpt. Its chain of studies does not confirm it."
    assert "the 4th confirmation on this baseline, tested at 0.0001: not confirmed." in made.comparisons[0].sentence
    page = render(made)["report.md"]
    assert "4 studies of this baseline could call an arm better." in page
    assert "3 of them are in no ledger, and the study file says why: Two sizes and a bracket" in page
    assert from_json(to_json(made)) == made
    assert '"earlier"' not in to_json(report(BETTER, chain=chain())), "old reports stay as they are"


def test_a_confirmation_and_a_screen_say_what_no_ledger_has() -> None:
    told = EarlierClaims(claims=2, why="Two nights without a gate.")
    sure = chain(3, 0.01, confirmations=1, source="screen1", earlier=told)
    page = render(report(BETTER, alpha=0.01, chain=sure))["report.md"]
    assert "3 studies of this baseline could call an arm better. 2 of them are in no ledger" in page
    screen = ChainFacts(chain="3f2a", stage="screen", alpha=0.05, earlier=told)
    page = render(report(BETTER, alpha=0.2, stage="screen", chain=screen))["report.md"]
    assert "stands behind 2 claims that are in no ledger; the study file says why: Two nights without a gate." in page


def test_claims_that_another_study_told_are_counted_as_well() -> None:
    """The second on record, behind three that the first one told, is the fifth of five."""
    page = render(report(BETTER, chain=chain(5, 0.0001, confirmations=2)))["report.md"]
    assert "the 5th confirmation on this baseline" in page
    assert "5 studies of this baseline could call an arm better." in page
    withdrawn = report(BETTER, chain=chain(4, 0.0001, confirmations=1))
    assert (
        "the 4th confirmation on this baseline, tested at 0.0001: not confirmed." in withdrawn.comparisons[0].sentence
    )
