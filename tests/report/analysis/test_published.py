"""One's own execution beside a published report on the same declaration: the same numbers, or gains that agree."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from coregpt.report.analysis.published import against
from coregpt.report.analysis.replication import predict
from coregpt.report.drawing.agreement import agreement
from coregpt.report.facts.environment import EnvironmentFacts, environment_digest
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.render import render
from tests.report import studies

PATH = "reports/toy/report.json"
NOISE = np.random.default_rng(0).normal(0, 0.01, (2, 6))


def made(gain: float, shift: float = 0.0, **changes: Any) -> Report:
    base, arm = 3 + NOISE[0] + shift, 3 + NOISE[1] - gain + shift
    return studies.report({"gpt": base.tolist(), "ngpt": arm.tolist()}, **changes)


def words(report: Report, theirs: Report) -> list[str]:
    return list(agreement(report, against(report, theirs, PATH, "f" * 64)))


def test_equal_numbers_are_told_as_such() -> None:
    assert words(made(0.1), made(0.1)) == [f"Every run came to what it came to in {PATH}, to the last digit."]


def test_a_gain_agrees_by_the_rule_of_verify_for_as_many_seeds() -> None:
    theirs = made(0.1)
    expected = predict(theirs.comparisons[0], 6, 1)
    assert expected is not None
    low, high = expected.interval
    published = theirs.comparisons[0].gain or 0.0
    for gain, word in ((low + 1e-6, "agrees with"), (high - 1e-6, "agrees with"), (low - 1e-6, "DISAGREES with")):
        report = made(0.1 + gain - published, shift=1.0)
        said, other = words(report, theirs)
        assert said.startswith(f"ngpt: {word} {PATH}. Gain ")
        assert other == "Code, data and environment are the same as there, and the numbers are not."


def test_what_cannot_be_judged_agrees_with_nothing() -> None:
    """One run without an outcome, and the page said that its invalid comparison agrees, and that numbers differ."""
    base, arm = (3 + NOISE[0]).tolist(), (2.9 + NOISE[1]).tolist()
    lost = studies.summarise(studies.study(("gpt", "ngpt"), 6), studies.runs({"gpt": base, "ngpt": arm})[:-1])
    assert lost.comparisons[0].verdict == "invalid"
    assert words(lost, made(0.1)) == [f"ngpt: cannot be held against {PATH}, it has no valid comparison here."]


def test_what_is_not_the_same_is_named() -> None:
    codes = [{"engine": each, "data": "d", "plugins": {"ngpt": each}} for each in "ab"]
    places = [EnvironmentFacts(values={"torch": "2.13", "device": each, "threads": each}) for each in ("cpu", "gpu")]
    report, theirs = (made(0.1, code=code, environment=at) for code, at in zip(codes, places, strict=True))
    assert words(report, theirs)[-1] == "Not the same as there: engine; plugin ngpt; device gpu (here cpu)."


def test_it_is_data_of_the_report_and_shown_on_its_pages(tmp_path: Path) -> None:
    report = made(0.1, shift=0.5)
    held = report.model_copy(update={"published": against(report, made(0.1), PATH, "f" * 64)})
    assert from_json(to_json(held)) == held
    assert '"published"' not in to_json(report)
    said = words(report, made(0.1))
    for name in ("report.md", "report.html"):
        page = render(held)[name]
        assert "Against the published report" in page
        assert "agrees with reports/toy/report.json" in page
    assert said[0].startswith("ngpt: agrees with")
    assert json.loads(render(held)["report.json"])["published"]["same"] is False


def test_the_digest_of_the_environment_is_of_what_numbers_depend_on() -> None:
    values = {"precision": "fp32", "device": "CPU x86_64", "compile": "no", "python": "3.11.7", "torch": "2.13"}
    found = environment_digest(values, "a" * 64)
    assert found == environment_digest({**values, "threads": "2", "processor": "another"}, "a" * 64)
    others = [environment_digest({**values, name: "other"}, "a" * 64) for name in values]
    assert len({found, *others, environment_digest(values, "b" * 64)}) == len(values) + 2
    assert environment_digest({}, "a" * 64) is None
