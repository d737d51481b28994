"""Whether arms matched on seconds came out equal, from made-up clocks."""

import math

import pytest

from coregpt.report.analysis.summary import summarise
from coregpt.report.designs.match.section import missed_seconds
from coregpt.report.facts.model import Report
from coregpt.report.facts.runs import RunFacts
from coregpt.report.pages.render import render
from tests.report.studies import run, study


def matched(*slowdowns: float, **changes: str) -> Report:
    """A study with these training times of ngpt, relative to gpt's of the same seed."""

    def took(facts: RunFacts) -> RunFacts:
        seconds = 80.0 * (1 + facts.seed / 10) * (slowdowns[facts.seed] if facts.arm == "ngpt" else 1)
        return facts.model_copy(update={"timing": facts.timing.model_copy(update={"train_seconds": seconds})})

    seeds = len(slowdowns)
    both = [run(arm, seed, 3.0 + seed / 100) for arm in ("gpt", "ngpt") for seed in range(seeds)]
    facts = study(seeds=seeds, **{"match": "seconds", "equal": "seconds", **changes})
    return summarise(facts, [took(each) for each in both])


@pytest.mark.parametrize(
    ("slowdowns", "word"),
    [
        ((1.003, 1.004, 1.005, 1.004), "held"),
        ((1.03, 1.031, 1.032, 1.03), "missed"),
        ((0.95, 0.951, 0.952, 0.95), "missed"),
        ((1.0, 1.04, 0.96, 1.0), "unclear"),
        ((1.03, 1.0, 1.06, 1.02), "unclear"),
        ((1.3, 1.3), "unclear"),
    ],
)
def test_seconds_are_held_or_missed_only_where_the_whole_interval_says_so(slowdowns: tuple, word: str):
    report = matched(*slowdowns)
    (found,) = report.timing.matched
    assert found.word == word
    assert found.off == pytest.approx(math.exp(sum(map(math.log, slowdowns)) / len(slowdowns)) - 1)
    assert (found.interval is None) == (len(slowdowns) < 3)
    assert bool(missed_seconds(report)) == (word == "missed")
    page = render(report)["report.md"]
    assert "## Were the seconds equal?" in page
    assert ("FAILED for ngpt: verdicts there are not at equal seconds" in page) == (word == "missed")
    assert f"{found.off:+.1%}" in page


def test_seconds_that_were_missed_change_no_verdict_and_only_matched_ones_are_told():
    assert matched(1.3, 1.3, 1.3, 1.31).comparisons == matched(1, 1, 1, 1.01).comparisons
    unmatched = matched(1.5, 1.5, 1.5, match="")
    assert unmatched.timing.matched == ()
    assert "Were the seconds equal?" not in render(unmatched)["report.md"]
