"""Settings found by trials before the test, as a design of the report.

Trials are a study of their own, run before the test: whoever ran both puts the finds into the report of the test
(`reading.found`).
"""

from collections.abc import Iterator
from typing import Any

from coregpt.report.designs.design import ReportDesign
from coregpt.report.designs.tuning.analysis import tuning_notes
from coregpt.report.designs.tuning.section import tuning_section
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report


class Tuning(ReportDesign):
    """Every trial, and what was found."""

    def settings(self, report: Report) -> dict[str, dict[str, Any]]:
        return report.tuning.settings if report.tuning else {}

    def seeds(self, report: Report) -> tuple[int, ...]:
        return report.tuning.seeds if report.tuning else ()

    def notes_on_trials(self, report: Report) -> list[str]:
        return tuning_notes(report.tuning) if report.tuning else []

    def sections(self, report: Report) -> Iterator[Section]:
        if report.tuning is not None:
            yield tuning_section(report)
