"""Screens through the whole report, by simulation."""

import numpy as np

from coregpt.report.pages.render import render
from tests.report.studies import report

ARMS, TRUE, SEEDS = 12, 4, 5


def _values(rng: np.random.Generator, effect: float) -> dict[str, list[float]]:
    shared = rng.normal(3, 0.05, SEEDS)
    table = {f"a{i}": (shared + rng.normal(0, 0.01, SEEDS)).tolist() for i in range(ARMS + 1)}
    for i in range(1, TRUE + 1):
        table[f"a{i}"] = [v - effect for v in table[f"a{i}"]]
    return table


def test_no_more_than_the_declared_share_of_what_a_screen_passes_on_is_false() -> None:
    rng = np.random.default_rng(0)
    shares, power = [], []
    for _ in range(60):
        passed = [c.arm for c in report(_values(rng, 0.025), screen=0.1).comparisons if c.verdict == "screened"]
        false = [arm for arm in passed if int(arm[1:]) > TRUE]
        shares.append(len(false) / max(1, len(passed)))
        power.append((len(passed) - len(false)) / TRUE)
    assert np.mean(shares) <= 0.1 * (ARMS - TRUE) / ARMS + 3 * np.std(shares) / len(shares) ** 0.5
    assert np.mean(shares) > 0.01
    assert np.mean(power) > 0.8


def test_a_screen_never_says_better_and_asks_for_confirmation() -> None:
    rng = np.random.default_rng(1)
    found = report(_values(rng, 0.5), screen=0.1)
    assert {c.verdict for c in found.comparisons} <= {"screened", "inconclusive"}
    assert "passed on for confirmation on fresh seeds: a1, a2, a3 and a4" in found.headline.lower()
    page = render(found)["report.md"]
    assert "Confirm it on fresh seeds." in page
    assert "is a screen" in page
