"""Settings found by trials before the test, as a design of the report.

Trials are a study of their own, run before the test: whoever ran both puts the finds into the report of the test
(`reading.found`).
"""

from collections.abc import Iterator

from coregpt.report.designs.design import ReportDesign
from coregpt.report.designs.tuning.section import tuning_section
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report


class Tuning(ReportDesign):
    """Every trial, and what was found."""

    def sections(self, report: Report) -> Iterator[Section]:
        if report.tuning is not None:
            yield tuning_section(report)
