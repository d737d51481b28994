"""Speed is compared within seeds and never reaches a verdict."""

import math

import pytest

from coregpt.report.analysis.summary import summarise
from coregpt.report.designs.match.section import missed_seconds
from coregpt.report.facts.inputs import RunFacts
from coregpt.report.facts.model import Report
from coregpt.report.pages.render import render
from coregpt.report.verdicts.speed import arm_timings
from tests.report.studies import run, study
from tests.report.verdicts.test_compare import base, shifted


def facts(slowdown: float) -> list:
    speeds = [90.0, 100.0, 110.0, 95.0, 105.0, 98.0]
    slow = [run("ngpt", s, v, speed=speeds[s] / slowdown) for s, v in enumerate(shifted(0.02))]
    return [*(run("gpt", s, v, speed=speeds[s]) for s, v in enumerate(base())), *slow]


def test_time_per_token_is_the_ratio_within_seeds():
    found = arm_timings(study(), facts(1.25))[1]
    assert found.time_ratio == pytest.approx(1.25)
    assert found.time_ratio_interval == pytest.approx((1.25, 1.25))


def test_diverged_runs_are_not_timed():
    runs = facts(1.25)
    runs[-1] = run("ngpt", 5, None, speed=1e9)
    assert arm_timings(study(), runs)[1].time_ratio == pytest.approx(1.25)


def test_unmeasured_speed_is_absent_not_zero():
    bare = [r.model_copy(update={"timing": r.timing.model_copy(update={"tokens_per_second": None})}) for r in facts(1)]
    assert arm_timings(study(), bare)[1].time_ratio is None


def test_a_slower_arm_gets_the_same_verdict():
    fast, slow = (summarise(study(), facts(s)) for s in (1.0, 3.0))
    assert fast.comparisons == slow.comparisons
    assert fast.timing != slow.timing


def test_seconds_held_equal_are_checked_once_they_are_measured():
    def timed(seconds: float) -> list:
        runs = facts(1.0)
        return [
            r.model_copy(update={"timing": r.timing.model_copy(update={"train_seconds": seconds})})
            if r.arm == "ngpt"
            else r
            for r in runs
        ]

    close, apart = (summarise(study(equal="seconds"), timed(seconds)) for seconds in (80.7, 81.0))
    assert close.timing.unequal_seconds == {}
    assert apart.timing.unequal_seconds == {"gpt": 80.0, "ngpt": 81.0}
    assert "| training time (median) | 80 s | 81 s |" in render(apart)["report.md"]
    assert "Nothing else was found to differ" in render(close)["report.md"]
    assert summarise(study(), timed(200.0)).timing.unequal_seconds == {}
    assert close.model_copy(update={"timing": apart.timing}) == apart


def matched(*slowdowns: float, **changes: str) -> Report:
    """A study with these training times of ngpt, relative to gpt's of the same seed."""

    def took(facts: RunFacts) -> RunFacts:
        seconds = 80.0 * (1 + facts.seed / 10) * (slowdowns[facts.seed] if facts.arm == "ngpt" else 1)
        return facts.model_copy(update={"timing": facts.timing.model_copy(update={"train_seconds": seconds})})

    seeds = len(slowdowns)
    both = [run(arm, seed, 3.0 + seed / 100) for arm in ("gpt", "ngpt") for seed in range(seeds)]
    return summarise(study(seeds=seeds, match="seconds", equal="seconds", **changes), [took(each) for each in both])


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
    assert summarise(study(equal="seconds"), facts(1.5)).timing.matched == ()
    assert "Were the seconds equal?" not in render(summarise(study(equal="seconds"), facts(1.5)))["report.md"]
