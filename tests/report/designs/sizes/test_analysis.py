"""What is claimed about sizes, from reports of made-up studies whose trend is known."""

import json
import re
from html import unescape

import numpy as np
import pytest

from coregpt.report.designs.sizes.analysis import TrendReport, trends
from coregpt.report.designs.sizes.pages import render_trend, trend_lines
from coregpt.report.facts.model import Report
from tests.report.studies import report

PARAMETERS = (10**6, 10**7, 10**8)


def _size(gain: float | None, parameters: int, noise: float = 0.001) -> Report:
    """Five seeds whose differences average `gain` exactly; None: the last run of the arm diverged."""
    wobble = noise * np.array([-1.0, 1.0, 0.5, -0.5, 0.0])
    values: dict[str, list[float | None]] = {"gpt": [3.0, 3.1, 3.05, 2.95, 3.02]}
    values["arm"] = [float(b or 0.0) - (gain or 0.0) - w for b, w in zip(values["gpt"], wobble, strict=True)]
    if gain is None:
        values["arm"][-1] = None
    made = report(values)
    arms = tuple(arm.model_copy(update={"parameters": parameters}) for arm in made.study.arms)
    return made.model_copy(update={"study": made.study.model_copy(update={"arms": arms})})


def _trend(*gains: float | None, noise: float = 0.001) -> TrendReport:
    return trends("toy", ("s", "m", "l"), [_size(g, p, noise) for g, p in zip(gains, PARAMETERS, strict=True)])


@pytest.mark.parametrize(
    ("gains", "noise", "claim"),
    [
        ((0.03, 0.03, 0.03), 0.001, "holds with size"),
        ((0.02, 0.03, 0.04), 0.001, "holds with size"),
        ((0.05, 0.03, 0.01), 0.001, "shrinks"),
        ((-0.05, -0.03, -0.01), 0.001, "shrinks"),
        ((0.03, 0.03, 0.0), 0.05, "uncertain"),
        ((0.03, 0.02, 0.03), 0.05, "uncertain"),
    ],
)
def test_the_claim(gains: tuple[float, ...], noise: float, claim: str) -> None:
    (arm,) = _trend(*gains, noise=noise).arms
    assert arm.claim == claim
    assert arm.slope == pytest.approx(np.polyfit(np.log10(PARAMETERS), gains, 1)[0])


def test_a_large_gap_at_small_sizes_holds_nothing_without_a_verdict_at_the_largest() -> None:
    small, middle = (_size(0.03, p) for p in PARAMETERS[:2])
    (arm,) = trends("toy", ("s", "m", "l"), [small, middle, _size(0.03, PARAMETERS[2], noise=0.1)]).arms
    assert arm.points[-1].verdict == "inconclusive"
    assert arm.claim == "uncertain"


def test_a_size_without_a_whole_difference_leaves_no_line() -> None:
    (arm,) = _trend(0.03, None, 0.03).arms
    assert (arm.claim, arm.slope) == ("uncertain", None)
    assert "no complete difference at m" in arm.sentence


def test_the_pages_show_every_size_and_say_nothing_beyond_the_largest() -> None:
    found = _trend(0.05, 0.03, 0.01)
    files = render_trend(found)
    assert TrendReport(**json.loads(files["trend.json"])) == found
    assert render_trend(found) == files
    for page in ("report.md", "report.html"):
        for words in ("s (1 M)", "l (100 M)", "Nothing is said about larger models"):
            assert words in files[page]
    assert trend_lines(found)[0] in unescape(files["report.md"])
    ends = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', files["report.html"])]
    lines = re.findall(r'<polyline points="([\d.]+),[\d.]+ ([\d.]+),', files["report.html"])
    assert max(float(end) for _, end in lines) <= max(ends)
