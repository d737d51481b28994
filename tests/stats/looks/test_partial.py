"""Aborting at a pause: what it saves and costs on real pairs of (loss at 70%, final loss) from public logs."""

import csv
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from coregpt.stats.design import choose_test
from coregpt.stats.looks.partial import ABORT_BELOW, chance_at_pause, chance_of_significance
from coregpt.stats.power import critical_value
from coregpt.stats.primary import run_primary

PAUSES = Path(__file__).parents[2] / "data" / "speedrun_pauses.csv"
N, ALPHA = 10, 0.05
CRITICAL = float(stats.t.isf(ALPHA / 2, N - 1))


def records() -> dict[str, NDArray[np.float64]]:
    """Per record (runs, 2): losses at the pause and at the end around their means, scaled to be as wide as runs are."""
    with PAUSES.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    found = {}
    for name, group in groupby(rows, key=lambda row: row["record_dir"]):
        pairs = np.array([[float(row["loss_at_pause"]), float(row["final_loss"])] for row in group])
        found[name] = (pairs - pairs.mean(axis=0)) * np.sqrt(len(pairs) / (len(pairs) - 1))
    return found


def trials(pairs: NDArray[np.float64], effect: float, times: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Aborted, and significant had every run been finished, in studies of runs drawn from one record."""
    rng = np.random.default_rng(0)
    aborted, significant = [], []
    for _ in range(times):
        baseline, arm = pairs[rng.integers(0, len(pairs), (2, N))]
        chance = chance_at_pause(baseline[:, 0], baseline[:, 1], arm[:, 0] - effect, CRITICAL)
        assert chance is not None
        aborted.append(chance < ABORT_BELOW)
        significant.append(stats.ttest_rel(baseline[:, 1], arm[:, 1] - effect).pvalue < ALPHA)
    return np.array(aborted), np.array(significant)


def test_on_real_pairs_it_aborts_most_null_arms_adds_no_error_and_costs_little_power():
    spared, cost, errors = [], [], []
    for pairs in records().values():
        aborted, significant = trials(pairs, 0.0, 150)
        spared.append(aborted.mean())
        errors.append((significant & ~aborted).mean())
        effect = 1.16 * np.sqrt(2) * pairs[:, 1].std(ddof=1)  # 92% power with 10 seeds
        aborted, significant = trials(pairs, effect, 150)
        cost.append((significant & aborted).mean())
    assert np.mean(errors) < ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 1350)
    assert np.mean(spared) > 0.5
    assert np.mean(cost) < 0.02
    assert max(cost) < 0.08


def test_the_chance_is_the_integral_over_predicted_final_gains():
    rng = np.random.default_rng(1)
    paused = rng.normal(3.3, 0.002, 8)
    final = paused - 0.05 + rng.normal(0, 0.001, 8)
    gains = rng.normal(0.002, 0.002, 8)
    noise = min(gains.var(ddof=1), 2 * final.var(ddof=1))
    spread = np.sqrt(2 * (final - paused).var(ddof=1) / 8)

    def weight(gain: float) -> float:
        significant = abs(gain) / np.sqrt(noise / 8) > 2.5
        return significant * stats.t.pdf((gain - gains.mean()) / spread, 7) / spread

    edge = 2.5 * np.sqrt(noise / 8)
    pieces = ((-1, -edge), (edge, edge + 0.02), (edge + 0.02, 1))
    expected = sum(integrate.quad(weight, low, high, limit=200)[0] for low, high in pieces)
    assert chance_of_significance(gains, paused, final, 2.5) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "seeds"), [(3, 5), (2, 6), (4, 9)])
def test_with_several_arms_errors_stay_below_alpha_though_aborted_arms_no_longer_share_their_noise(arms, seeds):
    design, rng, wrong = choose_test(seeds, arms), np.random.default_rng(2), []
    limit = critical_value(design, ALPHA)
    for pairs in records().values():
        for _ in range(450):
            runs = pairs[rng.integers(0, len(pairs), (arms + 1, seeds))]
            chances = [chance_at_pause(*runs[0].T, arm[:, 0], limit) for arm in runs[1:]]
            finished = {str(i): runs[i + 1][:, 1] for i, chance in enumerate(chances) if (chance or 0.0) >= ABORT_BELOW}
            found = run_primary(design, ALPHA, runs[0][:, 1], finished, {})
            wrong.append(any(each.p_adjusted < ALPHA for each in found.values()))
    assert np.mean(wrong) < ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / len(wrong))


def test_a_gain_beyond_doubt_is_certain_and_none_is_hopeless():
    paused = np.array([3.31, 3.30, 3.32, 3.29, 3.30])
    final = paused - np.array([0.05, 0.051, 0.049, 0.05, 0.05])
    noise = np.array([1.0, -1.0, 2.0, -2.0, 0.0]) * 0.003
    assert chance_of_significance(noise + 0.1, paused, final, 2.8) > 0.999
    assert chance_of_significance(noise - 0.1, paused, final, 2.8) > 0.999
    assert chance_of_significance(noise, paused, final, 2.8) < 0.001


def test_without_any_scatter_after_the_pause_the_answer_is_yes_or_no():
    paused = np.array([3.25, 3.5, 3.75, 4.0, 4.25])
    gains = np.array([0.1, -0.1, 0.2, -0.2, 0.0])
    assert chance_of_significance(gains, paused, paused - 0.5, 2.8) == 0.0
    assert chance_of_significance(gains + 1, paused, paused - 0.5, 2.8) == 1.0


def test_nothing_is_decided_before_all_is_known_and_a_diverged_run_is_left_to_the_ranks():
    losses = np.array([3.0, 3.1, 3.2, 3.3, 3.4])
    gone, lost = losses.copy(), losses.copy()
    gone[2], lost[2] = np.nan, np.inf
    assert chance_at_pause(losses, losses - 1, gone, 2.8) is None
    assert chance_at_pause(losses, gone, losses, 2.8) is None
    assert chance_at_pause(losses, losses - 1, lost, 2.8) == 1.0
    assert chance_at_pause(losses, lost, losses, 2.8) == 1.0
