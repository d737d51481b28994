"""What would settle an arm, in seeds, runs and FLOPs."""

import pytest

from coregpt.report.pages.render import render
from tests.report.designs.looks.test_analysis import BASE, EVEN
from tests.report.studies import report


def test_an_undecided_arm_says_what_would_decide_it_and_what_that_costs() -> None:
    wide = [b + 8 * e for b, e in zip(BASE, EVEN, strict=True)]
    made = report({"gpt": BASE, "wide": wide}, margin=0.01)
    (c,) = made.comparisons
    assert c.verdict == "inconclusive"
    assert c.more_seeds
    assert c.more_runs == 2 * c.more_seeds
    assert c.more_flops == pytest.approx(c.more_seeds * 2 * 6000 * 8000)
    assert f"About {c.more_seeds} more seeds per arm, {c.more_runs} runs and" in c.sentence
    assert made.timing.more_hours == {"wide": pytest.approx(c.more_seeds * 160 / 3600)}
    assert "What would decide it" in render(made)["report.html"]
