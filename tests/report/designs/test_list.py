"""Core names no design, designs know nothing of each other, and a new one is a class and a line in the list."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import coregpt.report
from coregpt.report.analysis import summary
from coregpt.report.designs import DESIGNS
from coregpt.report.designs.collectors import COLLECTORS
from coregpt.report.designs.design import Fields, Known, ReportDesign
from coregpt.report.drawing.markup import Section
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.pages import method, sections
from coregpt.report.pages.render import render
from tests.report.studies import report
from tests.report.verdicts.test_compare import base, shifted

FLOOR = Path(coregpt.report.__file__).parent
FOLDERS = sorted(path.parent.name for path in (FLOOR / "designs").glob("*/__init__.py"))
REPORTS_OF_THEIR_OWN = {"noise", "sizes"}


def designs_named(path: Path) -> set[str]:
    """Designs that a file imports from."""
    return set(re.findall(r"coregpt\.report\.designs\.(\w+)\.", path.read_text()))


def test_core_names_no_design() -> None:
    lists = [FLOOR / "designs" / name for name in ("__init__.py", "collectors.py")]
    core = [path for path in FLOOR.rglob("*.py") if path.parent.name not in FOLDERS and path not in lists]
    assert len(core) > 40
    assert {path.name: named for path in core if (named := designs_named(path))} == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_designs_know_nothing_of_each_other(folder: str) -> None:
    for path in (FLOOR / "designs" / folder).glob("*.py"):
        assert designs_named(path) <= {folder}, path.name


def test_every_design_is_listed_once() -> None:
    listed = [type(design).__module__.split(".")[-2] for design in DESIGNS]
    assert sorted(listed) == sorted(set(FOLDERS) - REPORTS_OF_THEIR_OWN)
    collected = [type(each).__module__.split(".")[-2] for each in COLLECTORS]
    assert len(set(collected)) == len(collected)
    assert set(collected) <= set(listed)


class Counting(ReportDesign):
    """Counts runs: the smallest design that has something to say everywhere."""

    def analyse(self, known: Known) -> Fields:
        return {"headline": f"{len(known.runs)} runs were counted."}

    def timing(self, known: Known) -> Fields:
        return {"tuning": {"ngpt": 7.0}}

    def remark(self, study: StudyFacts, comparison: Comparison) -> str:
        return " It was counted."

    def notes(self, report: Report) -> list[str]:
        return [f"{len(report.runs)} runs."]

    def method(self, report: Report) -> list[str]:
        return ["Runs are counted."]

    def sections(self, report: Report) -> Iterator[Section]:
        yield Section("Counted", (Table("Runs", ("arm", "runs"), [("all", str(len(report.runs)))]),))


def test_a_new_design_adds_to_the_report_and_to_both_pages_and_changes_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values: Any = {"gpt": base(), "ngpt": shifted(0.03)}
    before = report(values, declaration={"some": "thing"})
    for module in (summary, sections, method):
        monkeypatch.setattr(module, "DESIGNS", (*DESIGNS, Counting()))
    made = report(values, declaration={"some": "thing"})
    assert made.headline == "12 runs were counted."
    assert made.timing.tuning == {"ngpt": 7.0}
    assert made.comparisons[0].sentence == before.comparisons[0].sentence + " It was counted."
    assert made.comparisons[0].model_copy(update={"sentence": before.comparisons[0].sentence}) == before.comparisons[0]
    assert set(made.notes) - set(before.notes) == {"12 runs."}
    files = render(made)
    for name, title in (("report.html", "<h2>Counted</h2>"), ("report.md", "## Counted")):
        assert title in files[name]
        assert "Runs are counted." in files[name]
