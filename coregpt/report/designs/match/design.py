"""Arms matched before the first run, as a design of the report."""

from collections.abc import Iterator

from coregpt.report.designs.design import Fields, Known, ReportDesign
from coregpt.report.designs.match.analysis import matched_seconds
from coregpt.report.designs.match.section import TITLE, matched, missed_seconds, table, words
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report


class Match(ReportDesign):
    """What arms were given, and whether seconds came out equal."""

    def timing(self, known: Known) -> Fields:
        return {"matched": matched_seconds(known.study, known.runs)}

    def method(self, report: Report) -> list[str]:
        return [matched(report.study)] if report.study.match else []

    def broken(self, report: Report) -> list[str]:
        return missed_seconds(report)

    def sections(self, report: Report) -> Iterator[Section]:
        if report.timing.matched:
            yield Section(TITLE, (words(report), table(report)))
