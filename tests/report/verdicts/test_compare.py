"""Verdicts end to end: what must hold whatever the numbers are."""

import numpy as np
import pytest
from scipy import stats

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts
from tests.report.studies import compare, report, run, runs, study
from tests.stats.test_contrasts import SPEEDRUN

LUCK = [1.460, 1.452, 1.447, 1.455, 1.449, 1.463, 1.450, 1.458]
JITTER = [0.002, -0.001, 0.0015, -0.002, 0.001, -0.0005, 0.0002, -0.0012]


def shifted(gain: float, seeds: int = 6, noise: float = 1.0) -> list[float]:
    return [a - gain + noise * j for a, j in zip(LUCK[:seeds], JITTER, strict=False)]


def base(seeds: int = 6) -> list[float]:
    return LUCK[:seeds]


def words(values: dict[str, list[float | None]], **changes: object) -> list[str]:
    return [c.verdict for c in report(values, **changes).comparisons]


def test_a_clear_gain_is_better_and_swapping_the_labels_makes_it_worse():
    better = compare({"gpt": base(), "new": shifted(0.03)})
    worse = compare({"gpt": shifted(0.03), "new": base()})
    assert (better.verdict, worse.verdict) == ("better", "worse")
    assert better.size == worse.size == "at least the margin"
    assert better.gain == pytest.approx(-worse.gain)
    assert better.p == pytest.approx(worse.p)


def test_a_small_sure_gain_is_better_but_below_the_margin():
    found = compare({"gpt": base(), "new": shifted(0.006)})
    assert (found.verdict, found.size) == ("better", "below the margin")
    assert "smaller than the 0.01" in found.sentence


def test_no_difference_within_the_margin_is_equivalent():
    assert compare({"gpt": base(), "new": shifted(0.0002)}).verdict == "equivalent"


def test_the_same_numbers_with_a_tight_margin_are_inconclusive_and_ask_for_seeds():
    found = compare({"gpt": base(), "new": shifted(0.0002)}, margin=0.0008)
    assert found.verdict == "inconclusive"
    assert found.more_seeds is not None
    assert found.more_seeds > 0
    assert f"{found.more_seeds} more seeds" in found.sentence


def test_adding_a_constant_to_every_loss_changes_no_verdict_and_no_p():
    values = {"gpt": base(), "a": shifted(0.004), "b": shifted(0.0, noise=2)}
    moved = {arm: [v + 2.0 for v in column] for arm, column in values.items()}
    for before, after in zip(report(values).comparisons, report(moved).comparisons, strict=True):
        assert before.verdict == after.verdict
        assert before.p_adjusted == pytest.approx(after.p_adjusted)


def test_the_order_of_seeds_changes_nothing():
    values = {"gpt": base(8), "a": shifted(0.004, 8), "b": shifted(0.0, 8, noise=2)}
    backwards = {arm: column[::-1] for arm, column in values.items()}
    for before, after in zip(report(values).comparisons, report(backwards).comparisons, strict=True):
        assert (before.verdict, before.p_sign_flip) == (after.verdict, after.p_sign_flip)
        assert before.p_adjusted == pytest.approx(after.p_adjusted)


def test_measuring_in_another_unit_changes_no_verdict():
    values = {"gpt": base(), "a": shifted(0.004), "b": shifted(0.0, noise=2)}
    scaled = {arm: [1000 * v for v in column] for arm, column in values.items()}
    assert words(values) == words(scaled, margin=10.0)


@pytest.mark.parametrize("arms", [1, 3])
def test_two_seeds_are_never_better_or_worse_however_large_the_gap(arms: int):
    values = {"gpt": [1.4, 1.41]} | {f"a{i}": [0.4, 0.42 + i / 100] for i in range(arms)}
    assert set(words(values)) == {"inconclusive"}


@pytest.mark.parametrize("seeds", [1, 3, 4])
def test_too_few_seeds_of_one_arm_are_inconclusive_and_say_how_many_are_missing(seeds: int):
    found = compare({"gpt": base(seeds), "new": shifted(0.5, seeds)})
    assert found.verdict == "inconclusive"
    assert "more seed" in found.sentence


def test_three_seeds_of_several_arms_can_be_tested_together():
    assert words({"gpt": base(3), "a": shifted(0.05, 3), "b": shifted(0.0, 3)})[0] == "better"


def test_identical_arms_are_equivalent_and_the_report_asks_whether_the_technique_is_active():
    found = report({"gpt": base(), "new": base()})
    assert found.comparisons[0].verdict == "equivalent"
    assert any("is the technique active" in note for note in found.notes)


def test_equal_numbers_are_looked_for_between_all_arms():
    notes = report({"gpt": base(), "a": shifted(0.01), "b": shifted(0.01), "c": shifted(0.02)}).notes
    assert [note for note in notes if "exactly equal numbers" in note] == [
        "a and b gave exactly equal numbers for every seed: what they differ in did nothing, and they are one "
        "observation."
    ]
    assert not any("is the technique active" in note for note in notes)


def test_a_last_digit_is_enough_to_be_no_equal_numbers():
    values = shifted(0.01)
    other = [*values[:-1], values[-1] + 1e-15]
    assert not any("equal numbers" in note for note in report({"gpt": base(), "a": values, "b": other}).notes)


def test_an_arm_declared_inert_is_said_to_be():
    found = report({"gpt": base(), "a": shifted(0.01)}, inert=("a",))
    assert "Declared inert: a has a technique that was known to do nothing there." in found.notes


def test_seeds_that_change_nothing_are_one_observation_and_give_no_verdict():
    found = compare({"gpt": [1.5] * 6, "new": [1.4] * 6})
    assert found.verdict == "invalid"
    assert "seed does not reach the run" in found.sentence


def test_p_falls_as_the_gain_grows():
    p = [compare({"gpt": base(), "new": shifted(gain)}).p_adjusted or 0.0 for gain in (0.001, 0.002, 0.004, 0.01, 0.05)]
    assert p == sorted(p, reverse=True)


def test_one_diverged_seed_counts_against_its_arm():
    values: dict[str, list[float | None]] = {"gpt": base(8), "new": shifted(0.03, 8)}
    assert compare(values).verdict == "better"
    broken = compare(values | {"new": [None, *shifted(0.03, 8)[1:]]})
    assert broken.verdict == "inconclusive"
    assert broken.gain_condition == "conditional on finishing"
    assert broken.interval is None
    assert broken.effect_size is None
    assert (broken.p or 0) > (compare(values).p or 1)


def test_two_diverged_seeds_make_an_arm_unstable_even_if_the_rest_is_better():
    found = compare({"gpt": base(), "new": [None, None, *shifted(0.05)[2:]]})
    assert found.verdict == "unstable"
    assert "2 of 6" in found.sentence


def test_a_final_value_that_is_not_a_number_counts_as_diverged():
    facts = [*runs({"gpt": base()}), *(run("new", s, v) for s, v in enumerate(shifted(0.03)))]
    facts[-1] = facts[-1].model_copy(update={"value": float("nan")})
    found = comparisons_of(facts)[0]
    assert found.failures == (1, 0)
    assert summarise(study(("gpt", "new")), facts).runs[-1].reason == "the final value is not a finite number"
    assert found.verdict != "better"


def test_a_diverged_baseline_is_compared_by_ranks():
    found = compare({"gpt": [None, *base(8)[1:]], "new": shifted(0.03, 8)})
    assert found.verdict == "better"
    assert "ranked worst" in found.test
    assert found.p == 2.0**-7


def test_runs_that_diverge_on_both_sides_show_nothing():
    found = compare({"gpt": [None] * 6, "new": [None] * 6})
    assert (found.verdict, found.p) == ("inconclusive", 1.0)


def test_a_failed_run_makes_its_arm_invalid_and_names_the_seed():
    facts = runs({"gpt": base(), "new": shifted(0.03)})
    facts[-1] = run("new", 5, None, status="failed")
    found = comparisons_of(facts)[0]
    assert found.verdict == "invalid"
    assert found.missing_seeds == (5,)
    assert "seed 5" in found.sentence
    assert found.p is None


def test_a_missing_run_spoils_its_own_arm_only():
    values = {"gpt": base(), "a": shifted(0.03), "b": shifted(0.0)}
    facts = [r for r in runs(values) if (r.arm, r.seed) != ("b", 2)]
    first, second = comparisons_of(facts, ("gpt", "a", "b"))
    assert (first.verdict, second.verdict) == ("better", "invalid")


def test_a_missing_baseline_run_spoils_every_arm():
    values = {"gpt": base(), "a": shifted(0.03), "b": shifted(0.0)}
    facts = [r for r in runs(values) if (r.arm, r.seed) != ("gpt", 2)]
    assert {c.verdict for c in comparisons_of(facts, ("gpt", "a", "b"))} == {"invalid"}


def with_wild_arm(gain: float) -> dict[str, list[float | None]]:
    """Five calm arms and one whose seeds scatter by 0.02 about its gain."""
    calm = {f"a{i}": shifted(0.0, noise=0.5 + i / 4) for i in range(5)}
    wild = [v - gain + d for v, d in zip(base(), [0.02, -0.025, 0.015, -0.01, 0.02, -0.02], strict=True)]
    return {"gpt": base(), **calm, "wild": wild}


def test_a_noisy_arm_is_better_only_if_its_own_test_agrees():
    found = report(with_wild_arm(0.02)).comparisons[-1]
    assert found.noisy
    assert (found.p_adjusted or 1) < 0.05 < (found.p_separate or 0)
    assert found.verdict == "inconclusive"
    assert report(with_wild_arm(0.2)).comparisons[-1].verdict == "better"


def test_a_noisy_arm_cannot_borrow_calm_from_others_to_be_called_equivalent():
    found = report(with_wild_arm(0.0), margin=0.015).comparisons[-1]
    assert found.noisy
    assert (found.p_equivalence or 1) < 0.05
    assert found.verdict == "inconclusive"


def test_a_gain_whose_interval_contains_the_margin_makes_no_claim_about_its_size():
    found = compare({"gpt": base(), "new": shifted(0.0105)})
    assert (found.verdict, found.size) == ("better", "")


def test_a_real_study_gives_the_verdicts_worked_out_by_hand():
    columns = {name: row.tolist() for name, row in zip(("r30", "r34", "r38", "r40", "r41"), SPEEDRUN, strict=True)}
    found = report(columns, alpha=0.01, margin=0.001, unit="nats")
    assert found.design.method == "paired_t_holm"
    assert [c.verdict for c in found.comparisons] == ["inconclusive", "better", "better", "better"]
    alone = [stats.ttest_rel(SPEEDRUN[0], row).pvalue for row in SPEEDRUN[1:]]
    assert found.comparisons[0].p_adjusted == pytest.approx(max(alone))
    assert min(c.p_adjusted or 1 for c in found.comparisons) == pytest.approx(4 * min(alone))


def test_unpaired_studies_use_welch_and_claim_nothing_about_pairs():
    found = compare({"gpt": base(), "new": shifted(0.03)}, paired=False)
    assert found.p_sign_flip is None
    assert found.pairing_worth is None
    assert "Welch" in found.test


def test_exploratory_studies_say_so_in_every_sentence():
    found = report({"gpt": base(), "new": shifted(0.03)}, exploratory="alpha changed after the first run")
    assert found.comparisons[0].sentence.startswith("Exploratory: ")
    assert found.headline.startswith("Exploratory: ")


@pytest.mark.parametrize("gain", [0.0, 0.01])
def test_wrong_verdicts_stay_rare_from_end_to_end(gain: float):
    """At no effect 'better' or 'worse', at the margin 'equivalent': each at most 5% of the time."""
    rng = np.random.default_rng(11)
    repeats, wrong = 300, 0
    for _ in range(repeats):
        luck = rng.normal(1.45, 0.01, 6)
        values = {"gpt": luck.tolist(), "new": (luck - gain + rng.normal(0, 0.006, 6)).tolist()}
        wrong += compare(values).verdict in (("better", "worse") if gain == 0 else ("equivalent",))
    assert wrong / repeats <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)


def comparisons_of(facts: list[RunFacts], arms: tuple[str, ...] = ("gpt", "new")) -> tuple[Comparison, ...]:
    return summarise(study(arms), facts).comparisons


def test_an_undecided_arm_whose_own_interval_leaves_out_zero_says_what_decides():
    rest = {f"other{i}": shifted(0.0, noise=3) for i in range(4)}
    found = report({"gpt": base(), "new": shifted(0.003, noise=2), **rest}).comparisons[0]
    assert found.verdict == "inconclusive"
    assert found.interval is not None
    assert found.interval[0] > 0
    assert found.p_adjusted is not None
    assert "The interval of this arm alone leaves out zero, but what decides is p = " in found.sentence
    assert "after correction for all arms, which is not below 0.05." in found.sentence
    alone = compare({"gpt": base(), "new": shifted(0.006, noise=3)}, alpha=0.005, margin=0.008)
    assert (alone.verdict, alone.interval[0] > 0) == ("inconclusive", True)
    assert "The interval leaves out zero, but what decides is p = " in alone.sentence
    assert "after correction" not in alone.sentence


def test_p_below_alpha_is_not_called_the_reason_of_an_open_verdict():
    rest = {f"other{i}": shifted(0.0, noise=3) for i in range(4)}
    found = report({"gpt": base(), "new": shifted(0.0036, noise=2), **rest}).comparisons[0]
    assert found.verdict == "inconclusive"
    assert found.p_adjusted is not None
    assert found.p_adjusted < 0.05
    assert "what decides is p" not in found.sentence


def test_an_undecided_arm_whose_interval_holds_zero_needs_no_such_words():
    assert "leaves out zero" not in compare({"gpt": base(), "new": shifted(0.0002)}, margin=0.0008).sentence
