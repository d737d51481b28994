"""Secondary outcomes against scipy's paired t-test and Holm's rule written out."""

import itertools

import numpy as np
import pytest
from scipy import stats

from coregpt.report.analysis.own_runs import contradictions
from coregpt.report.facts.evaluate import Evaluated, OutcomeFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import broken_seal, from_json, to_json
from coregpt.report.pages.render import render
from tests.report import studies
from tests.report.designs.bracket import brackets

ARMS, SEEDS = ("gpt", "a", "b"), 6
DRAW = np.random.default_rng(3)
FINAL = {arm: (3 + 0.01 * DRAW.standard_normal(SEEDS)).tolist() for arm in ARMS}
SHIFTS = {"loss, tokens before: 0": (0.0, 0.05), "expected calibration error": (-0.2, 0.0), "HellaSwag acc": (0, 0)}
VALUES = {
    name: {
        arm: (1 + shift + 0.01 * DRAW.standard_normal(SEEDS)).tolist()
        for arm, shift in zip(ARMS, (0.0, *shifts), strict=True)
    }
    for name, shifts in SHIFTS.items()
}


def evaluated(values=VALUES, **changes: object) -> Evaluated:
    outcomes = tuple(
        OutcomeFacts(name=name, values={arm: tuple(each) for arm, each in own.items()}) for name, own in values.items()
    )
    return Evaluated(**{"stream": "held_out", "tokens": 512, "outcomes": outcomes, **changes})


def report(final=FINAL, facts: Evaluated | None = None, **changes: object) -> Report:
    return studies.report(final, evaluated=facts or evaluated(), **changes)


def slow_holm(p: list[float]) -> list[float]:
    """The smallest alpha at which the step-down test would reject each."""
    found = []
    for own in p:
        smaller = sorted(each for each in p if each <= own)
        found.append(min(1.0, max(each * (len(p) - i) for i, each in enumerate(smaller))))
    return found


def test_every_outcome_of_every_arm_is_tested_and_all_are_corrected_together():
    found = report().secondary
    assert found is not None
    assert found.comparisons == 6
    wanted = []
    for row, (name, arm) in zip(found.results, itertools.product(VALUES, ARMS[1:]), strict=True):
        own, base = np.array(VALUES[name][arm]), np.array(VALUES[name]["gpt"])
        test = stats.ttest_rel(own, base)
        assert (row.outcome, row.arm, row.pairs) == (name, arm, SEEDS)
        assert (row.baseline, row.value) == pytest.approx((base.mean(), own.mean()))
        assert row.difference == pytest.approx((own - base).mean())
        assert row.p == pytest.approx(test.pvalue)
        assert row.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
        wanted.append(float(test.pvalue))
    assert [row.p_adjusted for row in found.results] == pytest.approx(slow_holm(wanted))
    shown = {(row.outcome, row.arm): row.shown for row in found.results}
    assert shown["loss, tokens before: 0", "b"] == "higher"
    assert shown["expected calibration error", "a"] == "lower"
    assert shown["HellaSwag acc", "a"] == ""


def test_verdicts_headline_and_notes_are_those_of_the_study_without():
    with_, without = report(), studies.report(FINAL)
    for name in ("headline", "comparisons", "notes", "arms", "design"):
        assert getattr(with_, name) == getattr(without, name)
    assert "secondary" not in to_json(without)
    assert "evaluated" not in to_json(without)


def test_nothing_is_called_better_and_the_pages_say_secondary():
    found = report(facts=evaluated(lacking=("a: no loss past 32 tokens",)))
    for page in ("report.html", "report.md"):
        text = render(found)[page]
        section = text[text.index("Secondary outcomes") :]
        assert "no verdict follows from anything in this section" in section
        assert "all 6 comparisons" in section
        assert "a: no loss past 32 tokens" in section
        assert "Exploratory: these outcomes" not in section
    words = "".join(str(part) for row in found.secondary.results for part in row.model_dump().values())
    assert "better" not in words


def test_outcomes_declared_in_sight_of_results_are_exploratory():
    text = render(report(facts=evaluated(known=7)))["report.md"]
    assert "Exploratory: these outcomes were declared when 7 runs of the baseline and of other arms had results" in text


def test_a_run_without_an_outcome_ends_the_test_and_not_the_correction():
    values = {name: {arm: list(each) for arm, each in own.items()} for name, own in VALUES.items()}
    values["loss, tokens before: 0"]["b"][2] = None
    rows = report(facts=evaluated(values)).secondary.results
    lost = next(row for row in rows if row.arm == "b" and "before" in row.outcome)
    assert (lost.pairs, lost.p, lost.interval, lost.shown) == (5, None, None, "")
    assert lost.untested == "only 5 of 6 seeds have both"
    other = next(row for row in rows if row.arm == "a" and "calibration" in row.outcome)
    assert other.p_adjusted == pytest.approx(6 * other.p)


def test_runs_that_diverged_count_in_no_outcome():
    final = {**FINAL, "a": [None, *FINAL["a"][1:]]}
    rows = report(final).secondary.results
    assert {row.pairs for row in rows if row.arm == "a"} == {5}
    assert {row.pairs for row in rows if row.arm == "b"} == {6}


@pytest.mark.parametrize(("seeds", "changes"), [(4, {}), (6, {"pilot": True})])
def test_too_few_seeds_and_pilots_test_nothing(seeds, changes):
    final = {arm: each[:seeds] for arm, each in FINAL.items()}
    values = {name: {arm: each[:seeds] for arm, each in own.items()} for name, own in VALUES.items()}
    rows = report(final, evaluated(values), **changes).secondary.results
    assert all(row.p is None and row.interval is None and row.difference is not None for row in rows)
    text = render(report(final, evaluated(values), **changes))["report.md"]
    assert "Secondary outcomes" in text


def test_it_is_sealed_and_held_against_its_own_runs():
    found = report()
    text = to_json(found)
    assert from_json(text) == found
    assert contradictions(found) == []
    rows = found.secondary.results
    forged = rows[0].model_copy(update={"p_adjusted": 0.001, "shown": "lower"})
    edited = found.model_copy(update={"secondary": found.secondary.model_copy(update={"results": (forged, *rows[1:])})})
    assert any("p adjusted" in line or "adjusted p" in line for line in contradictions(edited))
    measured = found.study.evaluated.outcomes[0]
    changed = text.replace(f"{measured.values['a'][0]!r}", "0.5")
    assert changed != text
    assert broken_seal(changed)


def test_tuned_arms_have_an_interval_at_their_settings_and_no_test():
    tried = {"gpt": brackets.smooth(), "a": brackets.smooth(0.0, luck=1)}
    values = {name: {arm: own[arm] for arm in tried} for name, own in VALUES.items()}
    found = brackets.report(tried, {arm: FINAL[arm] for arm in tried}, evaluated=evaluated(values))
    rows = found.secondary.results
    assert all(row.interval is not None and row.p is None and row.p_adjusted is None for row in rows)
    assert {(row.shown, row.untested) for row in rows} == {("", "arms are tuned, and nothing allows for that here")}
    text = render(found)["report.md"]
    assert "nothing in it allows for how well they were found, so nothing is tested here" in text
    assert "Holm" not in text[text.index("Secondary outcomes") :]
    assert contradictions(found) == []
