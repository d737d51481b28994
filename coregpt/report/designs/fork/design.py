"""Arms that branch off the baseline, as a design of the report."""

from collections.abc import Iterator

from coregpt.report.designs.design import Fields, Known, ReportDesign
from coregpt.report.designs.fork.analysis import fork_cost, fork_notes
from coregpt.report.designs.fork.section import TITLE, tables, words
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report


class Fork(ReportDesign):
    """What branches share and what that saved."""

    def analyse(self, known: Known) -> Fields:
        return {"fork": fork_cost(known.study, known.runs)}

    def notes(self, report: Report) -> list[str]:
        return fork_notes(report.study, report.fork)

    def sections(self, report: Report) -> Iterator[Section]:
        if report.fork is not None:
            yield Section(TITLE, (words(report), *tables(report)))
