"""Screens and borrowed noise through the whole report, by simulation."""

import numpy as np

from coregpt.report.facts.inputs import PriorFacts
from coregpt.report.pages.render import render
from tests.report.studies import compare, report

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
    for _ in range(150):
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


def test_borrowed_noise_keeps_alpha_and_finds_more() -> None:
    """30 earlier variances of the same noise; 3 seeds that alone allow no test at all."""
    rng = np.random.default_rng(2)
    prior = PriorFacts(variance=2 * 0.01**2, df=58.0, files={"old.json": "0" * 64})

    def rate(effect: float, studies: int) -> float:
        called = 0
        for _ in range(studies):
            shared = rng.normal(3, 0.05, 3)
            values = {"gpt": shared + rng.normal(0, 0.01, 3), "arm": shared - effect + rng.normal(0, 0.01, 3)}
            found = compare({name: row.tolist() for name, row in values.items()}, prior=prior)
            called += found.verdict in ("better", "worse")
        return called / studies

    assert rate(0.0, 800) <= 0.05 + 3 * (0.05 * 0.95 / 800) ** 0.5
    assert rate(0.03, 200) > 0.8
    alone = compare({"gpt": [3.0, 3.1, 3.05], "arm": [2.9, 3.02, 2.94]})
    assert alone.verdict == "inconclusive"
