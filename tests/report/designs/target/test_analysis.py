"""The target in a report: claims against scipy, earliest steps and crossings against a second way to find them."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.model import Report
from coregpt.report.facts.runs import CurvePoint, RunFacts, RunTiming
from coregpt.report.facts.target import Arrival, Race, TargetClaim
from coregpt.report.pages.render import render
from tests.report.studies import run, study

STEPS = np.arange(0, 101, 10)


def falling(end: float, steps: np.ndarray = STEPS) -> np.ndarray:
    """A loss that falls in a straight line from 5 to its end."""
    return 5.0 + (end - 5.0) * steps / steps[-1]


def one(arm: str, seed: int, values: Sequence[float] | None, speed: float = 1.0) -> RunFacts:
    """A run with this curve, 1000 tokens and 1/speed seconds a step; None: it diverged."""
    if values is None:
        return run(arm, seed, None)
    points = tuple(CurvePoint(int(s), 1000 * int(s), None, float(v)) for s, v in zip(STEPS, values, strict=True))
    timing = RunTiming(train_seconds=100 / speed, seconds=tuple(float(s) / speed for s in STEPS))
    return RunFacts(
        run_id=f"{arm}-{seed}",
        arm=arm,
        seed=seed,
        status="finished",
        value=float(values[-1]),
        curve=points,
        timing=timing,
    )


def report(ends: dict[str, Sequence[float | None]], target: float = 3.28, speed: float = 1.0, **changes: Any) -> Report:
    seeds = len(next(iter(ends.values())))
    facts = study(tuple(ends), seeds, target=target, **changes)
    runs = [
        one(arm, seed, None if end is None else falling(end), speed)
        for arm, column in ends.items()
        for seed, end in enumerate(column)
    ]
    return summarise(facts, runs)


def claims(made: Report) -> dict[str, TargetClaim]:
    assert made.targets is not None
    return {claim.arm: claim for claim in made.targets.claims}


def race(made: Report, axis: str = "steps") -> Race:
    assert made.targets is not None
    return next(found for found in made.targets.races if found.axis == axis)


def arrivals(made: Report, axis: str = "steps") -> dict[str, Arrival]:
    return {arrival.arm: arrival for arrival in race(made, axis).arrivals}


BASE = [3.270, 3.268, 3.274, 3.271, 3.266]
FAST = [3.240, 3.231, 3.244, 3.236, 3.239]
SLOW = [3.290, 3.265, 3.294, 3.281, 3.296]


def test_every_arm_is_tested_by_itself_and_agrees_with_scipy() -> None:
    found = claims(report({"gpt": BASE, "fast": FAST, "slow": SLOW}))
    for arm, values in (("gpt", BASE), ("fast", FAST), ("slow", SLOW)):
        expected = stats.ttest_1samp(values, 3.28, alternative="less")
        assert (found[arm].t, found[arm].p) == pytest.approx((expected.statistic, expected.pvalue))
        assert found[arm].claimed is bool(expected.pvalue < 0.01)
    assert [found[arm].claimed for arm in ("gpt", "fast", "slow")] == [True, True, False]
    score = (3.28 - np.mean(BASE)) * np.sqrt(5)
    assert found["gpt"].fixed_sigma_score == pytest.approx(score)
    assert found["gpt"].fixed_sigma_claims is bool(score >= 0.004)
    assert found["gpt"].fixed_sigma_p == pytest.approx(stats.norm.sf(score / 0.0013))


def test_spread_that_is_not_assumed_can_contradict_the_speedruns_rule() -> None:
    noisy = [3.25, 3.30, 3.26, 3.29]
    found = claims(report({"gpt": noisy, "fast": FAST[:4]}))["gpt"]
    assert (found.claimed, found.fixed_sigma_claims) == (False, True)


@pytest.mark.parametrize(
    ("ends", "cause"),
    [
        ([3.2, 3.21, None, 3.2, 3.22], "1 of 5 runs diverged"),
        ([3.2, 3.2, 3.2, 3.2, 3.2], "exactly the same value"),
    ],
)
def test_nothing_is_claimed_for(ends: list[float | None], cause: str) -> None:
    found = claims(report({"gpt": BASE, "fast": ends}))["fast"]
    assert (found.claimed, found.p, found.earliest_step) == (False, None, None)
    assert cause in found.cause


def test_missing_runs_and_two_seeds_claim_nothing() -> None:
    facts = study(("gpt", "fast"), 5, target=3.28)
    runs = [one(arm, seed, falling(3.2 + seed / 1e3)) for arm in ("gpt", "fast") for seed in range(5)][:-1]
    made = summarise(facts, runs)
    assert claims(made)["fast"].cause == "1 run without an outcome"
    assert claims(made)["gpt"].claimed
    assert arrivals(made)["fast"].cause == "a run has no outcome"
    assert arrivals(made)["fast"].saved is None
    assert "at least 3 runs" in claims(report({"gpt": [3.2, 3.1], "fast": [3.2, 3.1]}))["gpt"].cause


def test_the_earliest_step_is_the_last_unbroken_row_of_passed_tests() -> None:
    rng = np.random.default_rng(3)
    middle = np.array([5, 4, 3.27, 3.30, 3.27, 3.275, 3.26, 3.25, 3.24, 3.23, 3.22])
    curves = middle + rng.normal(0, 0.002, (6, len(STEPS)))
    runs = [one(arm, seed, curves[seed]) for arm in ("gpt", "fast") for seed in range(6)]
    found = claims(summarise(study(("gpt", "fast"), 6, target=3.28), runs))["gpt"]
    passed = [stats.ttest_1samp(curves[:, i], 3.28, alternative="less").pvalue < 0.01 for i in range(len(STEPS))]
    assert passed[2]  # it passes early, and fails afterwards
    assert not passed[3]
    first = max(i for i, ok in enumerate(passed) if not ok) + 1
    assert found.earliest_step == STEPS[first]


def crossing(end: float, target: float = 3.28) -> float:
    """Where the straight line from 5 meets the target."""
    return 100 * (5 - target) / (5 - end)


def test_first_crossings_ratio_and_saved_steps_agree_with_scipy() -> None:
    made = report({"gpt": BASE, "fast": FAST})
    b, a = np.array([crossing(v) for v in BASE]), np.array([crossing(v) for v in FAST])
    found = arrivals(made)["fast"]
    logs = stats.ttest_rel(np.log(b), np.log(a))
    low, high = logs.confidence_interval(0.95)
    assert found.ratio == pytest.approx(np.exp(np.mean(np.log(b / a))))
    assert found.ratio_interval == pytest.approx((np.exp(low), np.exp(high)))
    plain = stats.ttest_rel(b, a)
    assert (found.saved, found.p_saved) == pytest.approx((np.mean(b - a), plain.pvalue))
    assert found.saved_interval == pytest.approx(tuple(plain.confidence_interval(0.95)))
    assert (found.reached, found.mean, found.horizon) == (5, pytest.approx(a.mean()), None)
    assert [share for _, share in found.still_above] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0])
    assert [at for at, _ in found.still_above] == pytest.approx(sorted(a))
    assert arrivals(made, "tokens")["fast"].saved == pytest.approx(1000 * np.mean(b - a))
    assert "flops" not in [each.axis for each in made.targets.races if made.targets]  # nobody counted them


def test_runs_that_never_get_there_leave_no_ratio_but_a_restricted_mean() -> None:
    found = arrivals(report({"gpt": BASE, "slow": SLOW}))["slow"]
    cut = np.array([min(crossing(v), 100) for v in SLOW])
    b = np.array([crossing(v) for v in BASE])
    assert (found.ratio, found.mean) == (None, None)
    assert found.no_ratio == "censored: 4 of 5 runs of slow never reached it"
    assert (found.reached, found.restricted_mean) == (1, pytest.approx(cut.mean()))
    assert (found.saved, found.p_saved) == pytest.approx((np.mean(b - cut), stats.ttest_rel(b, cut).pvalue))
    assert found.p_log_rank == pytest.approx(swapped(b, cut))


def swapped(b: np.ndarray, a: np.ndarray) -> float:
    """Two-sided p of the log-rank chi2 under every exchange of a seed's two times, with scipy's statistic."""

    def chi2(first: np.ndarray, second: np.ndarray) -> float:
        x, y = (stats.CensoredData(v[v < 100], right=v[v >= 100]) for v in (first, second))
        return float(stats.logrank(x, y).statistic ** 2)

    masks = [np.array(mask, dtype=bool) for mask in product([False, True], repeat=len(b))]
    values = [chi2(np.where(mask, a, b), np.where(mask, b, a)) for mask in masks]
    return float(np.mean(np.array(values) >= values[0] * (1 - 1e-10)))


def test_a_shorter_budget_in_which_every_run_got_there_cuts_nothing() -> None:
    """Cut at the end of the shorter arm, what it saves would be told by that end."""
    slow, quick = [3.275, 3.27, 3.274, 3.272, 3.271], [2.6, 2.65, 2.7, 2.62, 2.68]
    runs = [one("gpt", seed, falling(end)) for seed, end in enumerate(slow)]
    short = [replace_curve(one("fast", seed, falling(end)), 8) for seed, end in enumerate(quick)]
    facts = study(("gpt", "fast"), 5, target=3.28)
    found = arrivals(summarise(facts, [*runs, *short]))["fast"]
    b, a = np.array([crossing(v) for v in slow]), np.array([crossing(v) for v in quick])
    assert a.max() < STEPS[8] < b.min()
    assert (found.horizon, found.saved) == (None, pytest.approx(np.mean(b - a)))
    late = [replace_curve(one("fast", seed, falling(end)), 8) for seed, end in enumerate([*quick[:4], 3.9])]
    found = arrivals(summarise(facts, [*runs, *late]))["fast"]
    assert (found.horizon, found.saved, found.reached) == (STEPS[8], None, 4)
    assert found.p_log_rank is not None


def replace_curve(whole: RunFacts, points: int) -> RunFacts:
    """The run, trained to that evaluation only."""
    curve, timing = whole.curve[: points + 1], whole.timing
    seconds = timing.model_copy(update={"seconds": timing.seconds[: points + 1]})
    return whole.model_copy(update={"curve": curve, "timing": seconds, "value": curve[-1].value})


def test_a_run_that_diverged_never_gets_there() -> None:
    found = arrivals(report({"gpt": BASE, "fast": [*FAST[:4], None]}))["fast"]
    cut = [*(crossing(v) for v in FAST[:4]), 100]
    assert (found.reached, found.runs, found.restricted_mean) == (4, 5, pytest.approx(np.mean(cut)))
    assert "1 of 5 runs of fast never reached it" in found.no_ratio


def test_a_target_nobody_reaches_says_so_without_numbers() -> None:
    made = report({"gpt": BASE, "fast": FAST}, target=1.0)
    found = arrivals(made)["fast"]
    assert (found.saved, found.ratio, found.reached) == (None, None, 0)
    assert "| fast | 0/5 |" in render(made)["report.md"]


def test_runs_without_curves_are_still_tested_against_the_target() -> None:
    bare = [
        run(arm, seed, 3.2 + seed / 1e3).model_copy(update={"curve": (), "timing": RunTiming()})
        for arm in ("a", "b")
        for seed in range(4)
    ]
    made = summarise(study(("a", "b"), 4, target=3.28), bare)
    assert made.targets is not None
    assert (claims(made)["a"].claimed, claims(made)["a"].earliest_step, made.targets.races) == (True, None, ())


def test_seconds_are_timing_and_nothing_else_depends_on_the_clock() -> None:
    one_machine, other = report({"gpt": BASE, "fast": FAST}), report({"gpt": BASE, "fast": FAST}, speed=2.0)
    assert one_machine.timing.to_target is not None
    assert other.timing.to_target is not None
    first, second = one_machine.timing.to_target.arrivals[1], other.timing.to_target.arrivals[1]
    assert first.saved == pytest.approx(2 * (second.saved or 0))
    assert one_machine.model_copy(update={"timing": None}) == other.model_copy(update={"timing": None})


def test_no_word_of_the_verdict_changes_with_a_target() -> None:
    with_target, without = report({"gpt": BASE, "fast": FAST}), report({"gpt": BASE, "fast": FAST}, target=None)
    assert without.targets is None
    assert without.timing.to_target is None
    assert with_target.comparisons == without.comparisons
    assert with_target.headline == without.headline
    assert "The target" not in render(without)["report.md"]


def test_pages_show_claims_table_chart_and_a_switch_of_axes() -> None:
    pages = render(report({"gpt": BASE, "fast": FAST, "slow": SLOW}))
    for axis in ("steps", "tokens", "seconds"):
        assert f'id="race-{axis}"' in pages["report.html"]
        assert f"#race-{axis}:checked~.panels .axis-{axis}" in pages["report.html"]
        assert f'id="clip-race-{axis}"' in pages["report.html"]
    assert "No verdict follows from anything in this section" in pages["report.html"]
    for words in ("Is the mean val_loss below 3.28?", "Steps to 3.28", "4 of 5 runs of slow never reached it"):
        assert words in pages["report.md"]
        assert words in pages["report.html"]
