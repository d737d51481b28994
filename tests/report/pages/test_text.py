"""The terminal verdict: short, complete, and readable without the report."""

from coregpt.report.pages.text import verdict_lines
from tests.report.studies import report
from tests.report.verdicts.test_compare import base, shifted


def test_one_arm_gets_a_full_sentence():
    found = report({"gpt": base(), "ngpt": shifted(0.03)})
    lines = verdict_lines(found)
    assert lines[:3] == ["Does it help?", "ngpt is better than gpt.", found.comparisons[0].sentence]
    assert len(lines) <= 10


def test_several_arms_get_a_line_each():
    values = {
        "gpt": base(8),
        "up": shifted(0.03, 8),
        "odd": [None, None, *shifted(0.0, 8)[2:]],
        "few": shifted(0.001, 8),
    }
    lines = verdict_lines(report(values))
    assert any(line.startswith("  up") and "better" in line and "p " in line for line in lines)
    assert any(line.startswith("  odd") and "unstable" in line and "2 of 8" in line for line in lines)
    assert len(lines) <= 11


def test_the_test_the_seeds_and_the_preregistration_are_named():
    tail = "\n".join(verdict_lines(report({"gpt": base(), "ngpt": shifted(0.03)})))
    assert "paired t-test; 6 seeds; alpha 0.05; margin ±0.01 nats per byte" in tail
    assert "d" * 64 in tail
