"""Early decisions in the report: made-up numbers, decided by hand or by scipy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from coregpt.report.analysis.own_runs import contradictions
from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.inputs import Decided, RuleFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.render import render
from tests.report.studies import run, study

RULE = RuleFacts(sizes=(4, 8))
BASE = [3.10, 3.12, 3.09, 3.11, 3.13, 3.08, 3.12, 3.10]
EVEN = [0.004, -0.003, 0.002, -0.004, 0.003, -0.002, 0.001, -0.001]
CLEAR = [b - 0.1 + e for b, e in zip(BASE, EVEN, strict=True)]
LIKE = [b + e for b, e in zip(BASE, EVEN, strict=True)]


def looked(columns: dict[str, Sequence[float | None]], **changes: Any) -> Report:
    """A study of 8 seeds with the runs that are there; a shorter column has not been run further."""
    facts = study(tuple(columns), 8, **{"rule": RULE, **changes})
    runs = [run(arm, seed, value) for arm, column in columns.items() for seed, value in enumerate(column)]
    return summarise(facts, runs)


def test_an_arm_stops_at_the_look_that_rejects_and_its_other_runs_are_spared() -> None:
    made = looked({"gpt": BASE, "clear": CLEAR[:4], "like": LIKE})
    clear, like = made.comparisons
    assert (clear.verdict, clear.pairs, like.verdict, like.pairs) == ("better", 4, "equivalent", 8)
    assert clear.gain == pytest.approx(np.mean(np.array(BASE[:4]) - CLEAR[:4]))
    assert "Stopped early, after 4 of 8 seeds: the estimate leans outward." in clear.sentence
    assert "leans outward" not in like.sentence
    assert clear.p_equivalence is None
    assert {(r.arm, r.seed) for r in made.runs if r.status == "spared"} == {("clear", seed) for seed in range(4, 8)}
    assert [(arm.finished, arm.absent, arm.conditional) for arm in made.arms] == [(n, 0, False) for n in (8, 4, 8)]
    assert made.stopping is not None
    assert (made.stopping.planned, made.stopping.spared, made.stopping.uncounted) == (24, 4, ())


def test_each_arm_is_tested_at_its_share_and_the_level_of_its_look() -> None:
    made = looked({"gpt": BASE, "clear": CLEAR[:4], "like": LIKE})
    assert made.stopping is not None
    clear, like = made.stopping.arms
    assert clear.looks[0].p == pytest.approx(stats.ttest_rel(BASE[:4], CLEAR[:4]).pvalue)
    share = 0.025 * np.log(1 + (np.e - 1) / 2)  # of two arms, of Pocock-type spending at half of the seeds
    assert clear.looks[0].level == pytest.approx(share)
    assert [look.n for look in like.looks] == [4, 8]
    low, high = clear.looks[0].interval or (0.0, 0.0)
    half = stats.t.isf(share / 2, 3) * stats.sem(np.array(BASE[:4]) - CLEAR[:4])
    assert (high - low) / 2 == pytest.approx(half)
    assert made.comparisons[0].test_interval == (low, high)


def test_the_baseline_counts_as_far_as_the_longest_arm() -> None:
    made = looked({"gpt": BASE, "clear": CLEAR})
    assert made.stopping is not None
    assert made.stopping.uncounted == tuple(f"{arm}-{seed}" for arm in ("gpt", "clear") for seed in range(4, 8))
    assert made.arms[0].finished == 4
    assert made.runs[7].reason == "not counted: decided after 4 seeds"


def test_a_futile_arm_is_never_equivalent() -> None:
    made = looked({"gpt": BASE[:4], "like": LIKE[:4]}, rule=RuleFacts(sizes=(4, 8), futility=0.05))
    (c,) = made.comparisons
    assert (c.verdict, c.cause) == ("inconclusive", "stopped for futility: a gain of 0.05 or more is unlikely")
    assert (c.p_equivalence, c.more_seeds) == (None, None)
    assert "more seed" not in c.sentence
    assert made.headline == "Not decided yet: like against gpt."


def test_between_looks_there_is_no_verdict() -> None:
    made = looked({"gpt": BASE[:6], "like": LIKE[:6]})
    (c,) = made.comparisons
    assert (c.verdict, c.missing_seeds) == ("invalid", (6, 7))
    assert "declare looks" not in c.sentence
    assert made.stopping is not None
    assert [(arm.decided, arm.seeds, len(arm.looks)) for arm in made.stopping.arms] == [(False, 8, 1)]


def test_an_incomplete_study_of_a_fixed_number_says_why_it_has_no_verdict() -> None:
    made = looked({"gpt": BASE[:6], "clear": CLEAR[:6]}, rule=None)
    (c,) = made.comparisons
    assert c.verdict == "invalid"
    assert "one verdict, after all 8: who looks at every seed and stops when it suits errs" in c.sentence
    assert "declare looks or anytime before the first run" in c.sentence


def test_a_diverged_run_waits_for_the_ranks_at_the_last_look() -> None:
    broken: list[float | None] = [*CLEAR]
    broken[1] = None
    made = looked({"gpt": BASE, "clear": broken})
    (c,) = made.comparisons
    assert c.test == "signed-rank test at the last look, diverged runs ranked worst"
    assert c.p == pytest.approx(stats.wilcoxon([1, 2, 3, 4, 5, 6, 7, -8]).pvalue)
    assert (c.look and c.look.n, c.verdict) == (8, "inconclusive")
    anytime = looked({"gpt": BASE, "clear": broken}, rule=RuleFacts(sizes=(8,), anytime=True))
    assert "an e-value leaves no alpha for ranks" in anytime.comparisons[0].cause


def test_an_e_value_stops_an_arm_after_any_seed() -> None:
    made = looked({"gpt": BASE[:5], "clear": CLEAR[:5]}, rule=RuleFacts(sizes=(8,), anytime=True))
    (c,) = made.comparisons
    assert (c.verdict, c.pairs) == ("better", 5)
    d = np.array(BASE[:5]) - CLEAR[:5]
    square = (d.mean() / d.std(ddof=1)) ** 2 * 5 / 4
    e = 6**-0.5 * ((1 + square) / (1 + square / 6)) ** 2.5
    assert c.p == pytest.approx(1 / e)
    assert c.p_adjusted == pytest.approx(1 / e)
    assert made.design.method == "anytime"


def test_a_decision_on_record_that_does_not_follow_from_the_runs_is_told() -> None:
    told = looked({"gpt": BASE, "clear": CLEAR[:4]}, decided=(Decided(arm="clear", pairs=4, decision="futile"),))
    assert told.notes[0].startswith("The ledger recorded for clear: futile after 4 seeds; from the runs follows reject")
    same = looked({"gpt": BASE, "clear": CLEAR[:4]}, decided=(Decided(arm="clear", pairs=4, decision="reject"),))
    assert not any("ledger recorded" in note for note in same.notes)


def test_pages_and_json_carry_every_look_and_follow_from_the_runs() -> None:
    made = looked({"gpt": BASE, "clear": CLEAR[:4], "like": LIKE}, assumed_sd=0.01)
    assert from_json(to_json(made)) == made
    assert contradictions(made) == []
    files = render(made)
    for page in (files["report.html"], files["report.md"]):
        assert "Every look at every arm, in order" in page
        assert "decided: different" in page
        assert "Of 24 planned runs, 4 were not needed" in page
    assert made.planned_detectable is not None
