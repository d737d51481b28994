"""Verdicts of bracketed studies end to end, against the formulas written out with numpy and scipy."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from coregpt.report.analysis.replication import predict
from coregpt.report.designs.bracket.words import NO_RANKS
from coregpt.report.facts.inputs import Confound
from coregpt.stats.power import seeds_needed
from tests.report import studies
from tests.report.designs.bracket.brackets import XS, Tried, report, smooth
from tests.report.verdicts.test_compare import base, shifted

TWO: dict[str, Tried] = {"gpt": smooth(luck=1), "new": smooth(0.4, luck=2)}
EDGE: Tried = {0.0: [3.0, 3.01], -1.0: [3.1, 3.11], **{float(x): [3 - x / 20, 3.01 - x / 20] for x in range(1, 6)}}


def near(tried: Tried) -> list[float]:
    """Within an octave of the lowest mean."""
    best = min(XS, key=lambda x: float(np.mean(tried[x])))
    return [x for x in XS if abs(x - best) <= 1]


def run_variance(tried: Sequence[Tried]) -> float:
    """Residual variance of rate + seed within each arm, by least squares on indicators."""
    rss, df = 0.0, 0
    for each in tried:
        y = np.array([each[x] for x in near(each)])
        rates, seeds = y.shape
        columns = [np.kron(np.eye(rates), np.ones((seeds, 1))), np.kron(np.ones((rates, 1)), np.eye(seeds))]
        x = np.hstack(columns)
        rss += float(((y.ravel() - x @ np.linalg.lstsq(x, y.ravel())[0]) ** 2).sum())
        df += y.size - int(np.linalg.matrix_rank(x))
    return rss / df


def expected_loss(tried: Tried, variance: float) -> float:
    """(q''/2) Var(x) of a parabola through the means, with derivatives of the minimum taken numerically."""
    x = np.array(near(tried))
    y = np.array([np.mean(tried[place]) for place in near(tried)])
    design = np.stack([np.ones(len(x)), x, x**2], axis=1)
    at = np.linalg.solve(design.T @ design, design.T @ y)
    missed = float(((y - design @ at) ** 2).sum()) / (len(x) - 3)
    covariance = max(variance / len(tried[0.0]), missed) * np.linalg.inv(design.T @ design)
    step = np.diag(1e-6 * np.abs(at))
    slopes = [(minimum(at + d) - minimum(at - d)) / (2 * d.sum()) for d in step]
    return float(at[2] * np.array(slopes) @ covariance @ np.array(slopes))


def minimum(parabola: np.ndarray) -> float:
    return float(-parabola[1] / 2 / parabola[2])


def by_hand(tried: dict[str, Tried], values: dict[str, list[float]], arm: str) -> tuple[float, float, float, float]:
    """gain, standard error, allowance and p of one arm."""
    baseline = next(iter(tried))
    d = np.array(values[baseline]) - np.array(values[arm])
    s2, variance = float(d.var(ddof=1)) / 2, run_variance(list(tried.values()))
    squares = [
        min(expected_loss(tried[name], variance), math.sqrt(s2 / len(tried[name][0.0]))) ** 2
        for name in (arm, baseline)
    ]
    allowance = 8 * sum(squares)
    se = math.sqrt(d.var(ddof=1) / len(d) + allowance)
    return float(d.mean()), se, allowance, float(2 * stats.t.sf(abs(d.mean()) / se, len(d) - 1))


@pytest.mark.parametrize("noise", [0.0005, 0.002, 0.03])
def test_the_standard_error_is_that_of_the_formula_and_so_are_interval_and_p(noise: float) -> None:
    tried: dict[str, Tried] = {
        "gpt": smooth(luck=1, noise=noise),
        "new": smooth(0.4, luck=2, noise=noise, curvature=0.1),
    }
    values = {"gpt": base(), "new": shifted(0.006)}
    made = report(tried, values)
    assert made.study.bracket is not None
    assert {each.kind for each in made.study.bracket.arms} == {"parabola"}
    (c,) = made.comparisons
    gain, se, allowance, p = by_hand(tried, values, "new")
    assert (c.gain, c.se, c.allowance, c.df, c.p) == pytest.approx((gain, se, allowance, 5, p), rel=1e-5)
    half = stats.t.isf(0.025, 5) * se
    assert c.interval == pytest.approx((gain - half, gain + half), rel=1e-5)
    assert c.sampling_se == pytest.approx(math.sqrt(se**2 - allowance), rel=1e-5)


def test_without_a_bracket_the_same_runs_have_a_smaller_error() -> None:
    values = {"gpt": base(), "new": shifted(0.006)}
    plain, own = studies.report(values).comparisons[0], report(TWO, values).comparisons[0]
    assert plain.allowance is None
    assert own.se is not None
    assert plain.se is not None
    assert own.se > plain.se
    assert own.sampling_se == pytest.approx(plain.se)


def test_of_three_arms_each_is_tested_alone_and_corrected_by_holm() -> None:
    tried: dict[str, Tried] = {
        "gpt": smooth(luck=3, seeds=6),
        "new": smooth(0.4, luck=4),
        "other": smooth(-0.2, luck=4),
    }
    values = {"gpt": base(), "new": shifted(0.004), "other": shifted(0.003, noise=1.7)}
    made = report(tried, values)
    assert made.study.bracket is not None
    assert {each.kind for each in made.study.bracket.arms} == {"parabola"}
    alone = {arm: by_hand(tried, values, arm) for arm in ("new", "other")}
    low, high = sorted(each[3] for each in alone.values())
    corrected = {low: min(1.0, 2 * low), high: max(min(1.0, 2 * low), high)}
    for c in made.comparisons:
        _, se, allowance, p = alone[c.arm]
        assert (c.se, c.allowance, c.p) == pytest.approx((se, allowance, p), rel=1e-5)
        assert c.p_adjusted == pytest.approx(corrected[p], rel=1e-5)
    assert made.comparisons[0].allowance != made.comparisons[1].allowance
    assert made.design.method == "paired_t_holm"


def test_an_arm_that_is_not_tuned_is_credited_with_nothing_and_the_others_are_judged() -> None:
    values = {"gpt": base(), "new": shifted(0.03), "edge": shifted(0.06)}
    made = report({**TWO, "edge": EDGE}, values)
    new, edge = made.comparisons
    assert new.verdict == "better"
    assert edge.verdict == "inconclusive"
    assert edge.cause == "edge is not tuned: the best value is the highest one tried, so the optimum may lie beyond it"
    assert (edge.gain, edge.p, edge.more_seeds) == (None, None, None)
    assert "bracketed" in new.sentence
    assert "bracketed" not in edge.sentence


def test_beside_a_baseline_that_is_not_tuned_nothing_is_better() -> None:
    values = {"gpt": base(), "new": shifted(0.03), "other": shifted(-0.03)}
    made = report({"gpt": EDGE, "new": smooth(), "other": smooth(0.0)}, values)
    assert [c.verdict for c in made.comparisons] == ["inconclusive"] * 2
    assert all(c.cause.startswith("gpt is not tuned: ") for c in made.comparisons)


def test_a_test_run_that_diverged_leaves_nothing_to_add_an_allowance_to() -> None:
    (c,) = report(TWO, {"gpt": base(), "new": [None, *shifted(0.03)[1:]]}).comparisons
    assert (c.verdict, c.cause, c.p) == ("inconclusive", NO_RANKS, None)
    both = report(TWO, {"gpt": [None, *base()[1:]], "new": shifted(0.03)}).comparisons[0]
    assert (both.verdict, both.cause) == ("inconclusive", NO_RANKS)


def test_a_replication_is_held_against_what_seeds_leave_open_alone() -> None:
    """Both estimates are of the same settings, however far these are from the optimum."""
    values = {"gpt": base(), "new": shifted(0.006)}
    ours, plain = (predict(made.comparisons[0], 4, 1) for made in (report(TWO, values), studies.report(values)))
    assert ours is not None
    assert plain is not None
    assert ours.interval == pytest.approx(plain.interval)


@pytest.mark.parametrize(("margin", "settled"), [(0.004, True), (0.002, False)])
def test_a_margin_that_tuning_hides_is_out_of_reach_of_any_number_of_seeds(margin: float, settled: bool) -> None:
    values = {"gpt": base(), "new": shifted(0.004, noise=4)}
    tried: dict[str, Tried] = {"gpt": smooth(luck=2, noise=0.006), "new": smooth(0.4, luck=3, noise=0.006)}
    (c,) = report(tried, values, margin=margin).comparisons
    assert c.verdict == "inconclusive"
    assert ("No number of seeds settles the margin" in c.sentence) is not settled
    assert (c.more_seeds is not None) is settled


def test_more_seeds_shrink_the_part_that_is_theirs_and_not_the_allowance() -> None:
    values = {"gpt": base(), "new": shifted(0.004, noise=4)}
    tried: dict[str, Tried] = {"gpt": smooth(luck=2, noise=0.006), "new": smooth(0.4, luck=3, noise=0.006)}
    (c,) = report(tried, values, margin=0.004).comparisons
    d = np.array(values["gpt"]) - np.array(values["new"])
    sd = float(d.std(ddof=1)) * math.sqrt(5 / stats.chi2.ppf(0.2, 5))
    assert c.allowance is not None
    needed = seeds_needed(sd, 0.004, at_least=6, allowance=c.allowance)
    assert needed is not None
    assert c.more_seeds == needed - 6
    assert needed > (seeds_needed(sd, 0.004, at_least=6) or 0)


def test_what_the_bracket_moved_takes_no_credit_away_and_other_settings_do() -> None:
    def differing(*settings: str) -> list[str]:
        confounds = tuple(Confound(setting=each, values={"gpt": "1", "new": "2"}) for each in settings)
        values = {"gpt": base(), "new": shifted(0.03)}
        return [note for note in report(TWO, values, confounds=confounds).notes if "differ in" in note]

    assert differing("optim.lr", "peak learning rate") == []
    (note,) = differing("optim.lr", "optim.weight_decay", "peak learning rate", "weight decay")
    assert note.startswith("Arms also differ in weight decay;")
