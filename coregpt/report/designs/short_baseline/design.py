"""The baseline with fewer tokens beside it, as a design of the report."""

from collections.abc import Iterator

from coregpt.report.designs.design import Fields, Known, ReportDesign
from coregpt.report.designs.short_baseline.analysis import find_steps_saved
from coregpt.report.designs.short_baseline.section import TITLE, table, words
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report


class ShortBaseline(ReportDesign):
    """Gains as steps of the baseline; no verdict follows from them."""

    judges = True

    def analyse(self, known: Known) -> Fields:
        return {"yardstick": find_steps_saved(known.study, known.outcomes)}

    def sections(self, report: Report) -> Iterator[Section]:
        if report.yardstick is not None:
            yield Section(TITLE, (words(report), table(report)))
